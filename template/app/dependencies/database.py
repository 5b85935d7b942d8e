"""The database bound to the caller of a request."""

from collections.abc import Callable
from typing import Annotated, Concatenate, ParamSpec, TypeVar

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import opened
from engine.sql.database import Database

P = ParamSpec("P")
T = TypeVar("T")


class CallerDatabase:
    """Runs transactions `fn(session, caller_id, …)`, with the caller's id put in here.

    Endpoints of callers use nothing else, so no transaction lacks the caller's id.
    """

    def __init__(self, database: Database, caller_id: str) -> None:
        self._database = database
        self._caller_id = caller_id

    async def write(
        self,
        fn: Callable[Concatenate[Session, str, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return `fn(session, caller_id, …)` after its commit."""
        return await self._database.write(fn, self._caller_id, *args, **kwargs)

    async def read(
        self,
        fn: Callable[Concatenate[Session, str, P], T],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Return `fn(session, caller_id, …)` of one consistent snapshot."""
        return await self._database.read(fn, self._caller_id, *args, **kwargs)


async def caller_database(request: Request, caller: CurrentCaller) -> CallerDatabase:
    """Return the database bound to the caller."""
    return CallerDatabase(opened(request).database, caller.id)


CallersRows = Annotated[CallerDatabase, Depends(caller_database)]
