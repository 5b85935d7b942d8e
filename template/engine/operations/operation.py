"""Operations of a model: the same function serves a request and a line of a batch."""

from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic import BaseModel

from engine.errors import PermissionDenied, Unsupported
from engine.models.interface import Answer, ChatRequest, EmbeddingsRequest
from engine.operations.bound_model import BoundModel

B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Operation(Generic[B]):
    """A URL, the body it takes, and the function that answers it."""

    url: str
    body: type[B]
    run: Callable[[BoundModel, B], Coroutine[Any, Any, Answer]]
    flag: str | None = None
    """Feature flag that a caller must have."""

    def permit(self, flags: Collection[str]) -> None:
        """Raise `PermissionDenied` unless the flags let a caller use this."""
        if self.flag is not None and self.flag not in flags:
            raise PermissionDenied(f"{self.url} is not switched on for you.")

    def model_of(self, body: B) -> str:
        """Return the name for the tokens' counts: the body's model, or the URL without one."""
        return str(getattr(body, "model", None) or self.url)


Operations: TypeAlias = Mapping[str, Operation[Any]]
"""Every operation by its URL."""


def refuse_agent(model: BoundModel, name: str) -> None:
    """Raise `Unsupported` for the name of an agent, whose runs are jobs and no calls of a model."""
    if name in model.resources.agents:
        raise Unsupported(f"{name} is an agent: no line of a batch can ask it.", param="model")


async def _chat(model: BoundModel, request: ChatRequest) -> Answer:
    refuse_agent(model, request.model)
    return await model.complete(request)


async def _embeddings(model: BoundModel, request: EmbeddingsRequest) -> Answer:
    return await model.embed(request)


CHAT = Operation("/v1/chat/completions", ChatRequest, _chat)
EMBEDDINGS = Operation("/v1/embeddings", EmbeddingsRequest, _embeddings)
