"""What callers may ask a model for: the same function serves a request and a line of a batch.

A module of `app.domain` adds its own by defining `OPERATION`; see `triage.py`.
"""

from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from app.domain.features import offered
from engine.errors import PermissionDenied
from app.resources.lifespan import Resources
from engine.models.interface import Answer, ChatRequest, EmbeddingsRequest

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Operation(Generic[B]):
    """A URL, the body it takes, and the function that answers it."""

    url: str
    body: type[B]
    run: Callable[[Resources, B], Coroutine[Any, Any, Answer]]
    flag: str | None = None
    """Feature flag that a caller must have."""

    def permit(self, flags: Collection[str]) -> None:
        """Raise `PermissionDenied` unless the flags let a caller use this."""
        if self.flag is not None and self.flag not in flags:
            raise PermissionDenied(f"{self.url} is not switched on for you.")

    def model_of(self, body: B) -> str:
        """Return what the tokens are counted under: the body's model, or the URL without one."""
        return str(getattr(body, "model", None) or self.url)


async def _chat(resources: Resources, request: ChatRequest) -> Answer:
    return await resources.model.complete(request)


async def _embeddings(resources: Resources, request: EmbeddingsRequest) -> Answer:
    return await resources.model.embed(request)


CHAT = Operation("/v1/chat/completions", ChatRequest, _chat)
EMBEDDINGS = Operation("/v1/embeddings", EmbeddingsRequest, _embeddings)


@cache
def operations() -> dict[str, Operation[Any]]:
    """Return every operation by its URL: the two above and those of the modules beside this one."""
    return {each.url: each for each in (CHAT, EMBEDDINGS, *offered("OPERATION"))}
