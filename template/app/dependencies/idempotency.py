"""Idempotency keys: a request creates once, however often it comes."""

import hashlib
from collections.abc import Callable
from typing import Annotated, Concatenate, ParamSpec, TypeVar, get_type_hints

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from sqlalchemy.orm import Session

from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.resources import Shared
from engine.callers import idempotency
from engine.callers.idempotency import Keyed

P = ParamSpec("P")
M = TypeVar("M", bound=BaseModel)


class OnceDatabase:
    """Runs the transaction of a creating request, once for its `Idempotency-Key`.

    It takes the transactions of `CallerDatabase` that return a model. A request with the key of an
    earlier one gets the earlier answer, as it was then. Without a key each request creates.
    """

    def __init__(
        self, request: Request, rows: CallerDatabase, key: str | None, seconds: float
    ) -> None:
        self._request = request
        self._rows = rows
        self._key = key
        self._seconds = seconds
        self._created = 0

    async def write(
        self, fn: Callable[Concatenate[Session, str, P], M], /, *args: P.args, **kwargs: P.kwargs
    ) -> M:
        """Return `fn(session, caller_id, …)` for this request's body, or its earlier result."""
        return await self.write_for(await self._request.body(), fn, *args, **kwargs)

    async def write_for(
        self,
        content: bytes,
        fn: Callable[Concatenate[Session, str, P], M],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> M:
        """Do the same where `content` stands for a body that is too large to be held."""
        if self._key is None:
            return await self._rows.write(fn, *args, **kwargs)

        def create(session: Session, caller_id: str) -> bytes:
            return fn(session, caller_id, *args, **kwargs).model_dump_json().encode()

        keyed = Keyed(self._name(self._key), self._fingerprint(content), self._seconds)
        answer = await self._rows.write(idempotency.create_once, keyed, create)
        model: type[M] = get_type_hints(fn)["return"]
        return model.model_validate_json(answer)

    def _name(self, key: str) -> str:
        """Return a name of its own for each thing that one request creates."""
        self._created += 1
        return key if self._created == 1 else f"{key}\n{self._created}"

    def _fingerprint(self, content: bytes) -> bytes:
        scope = self._request.scope
        target = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"]
        return hashlib.sha256(target + b"\0" + content).digest()


async def once_database(
    request: Request,
    rows: CallersRows,
    shared: Shared,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=250,
            description="Any text, new for each thing to create: a request that is sent again with "
            "its key creates nothing more and gets the same answer.",
        ),
    ] = None,
) -> OnceDatabase:
    """Return the caller's rows, to be written once for the request's `Idempotency-Key`."""
    return OnceDatabase(request, rows, idempotency_key, shared.settings.idempotency_seconds)


Once = Annotated[OnceDatabase, Depends(once_database)]
