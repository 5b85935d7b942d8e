"""The model bound to its caller: the only way that handlers, jobs and batches have to one."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import DeadlineExceeded, ModelError, Overloaded
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    ModelRequest,
    Progress,
    Usage,
)
from engine.models.upstreams import Upstreams

if TYPE_CHECKING:
    from engine.resources import Resources


class ModelOwners(Protocol):
    """Knows the models that belong to one caller; an option may have one."""

    async def require_owner(self, caller_id: str, model: str) -> None:
        """Raise `NotFound`, as for an unknown model, where it belongs to another caller."""
        ...

    async def visible_models(self, caller_id: str, cards: list[ModelCard]) -> list[ModelCard]:
        """Return the provider's models without those of others, and the caller's own."""
        ...


class BoundModel:
    """Asks the model for one caller: in its turn for a slot, and at its cost.

    Unless `counted`, nothing is counted here: a batch counts an item's tokens as it records the
    item. `counted_as` takes the place of the model's name where usage is shown.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        resources: "Resources",
        caller_id: str,
        *,
        counted: bool = True,
    ) -> None:
        self.tokenizer = resources.tokenizer
        self.resources = resources
        """All that the process has open, for operations that need more than a model."""
        self.caller_id = caller_id
        self.counted_as: str | None = None
        self._upstreams = upstreams
        self._owners = resources.model_owners
        self._counter = resources.usage if counted else None

    async def default(self) -> str:
        """Return the model of the app's own features: the setting, or the provider's first."""
        return self.resources.settings.default_model or (await self.models())[0].id

    async def models(self) -> list[ModelCard]:
        """List the models of the first provider that this caller may name."""
        cards = await self._upstreams.models()
        return await self._owners.visible_models(self.caller_id, cards) if self._owners else cards

    def require_provider(self, request: ChatRequest) -> None:
        """Raise `Unsupported` for what none of the providers knows, before they are asked."""
        self._upstreams.able(request)

    async def complete(self, request: ChatRequest) -> Answer:
        """Answer a chat as a whole."""
        so_far = Progress()
        await self._check(request)
        call = self._upstreams.complete(request, self.caller_id, so_far)
        return await self._counted(request, call, so_far)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Embed each input."""
        await self._check(request)
        call = self._upstreams.embed(request, self.caller_id)
        return await self._counted(request, call, Progress())

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer a chat as it is generated."""
        await self._check(request)
        generated, used, refused = 0, None, False
        try:
            async with aclosing(self._upstreams.stream(request, self.caller_id)) as chunks:
                async for chunk in chunks:
                    used = chunk.usage or used
                    generated += bool(chunk.events)
                    yield chunk
        except (ModelError, Overloaded):
            refused = not generated
            raise
        finally:
            if used is not None:
                self._count(request, used)
            elif not refused:
                self._count_unfinished(request, generated)

    async def _check(self, request: ModelRequest) -> None:
        if self._owners:
            await self._owners.require_owner(self.caller_id, request.model)

    async def _counted(
        self, request: ModelRequest, call: Coroutine[Any, Any, Answer], so_far: Progress
    ) -> Answer:
        try:
            answer = await call
        except (DeadlineExceeded, asyncio.CancelledError):
            self._count_unfinished(request, so_far.generated)
            raise
        self._count(request, answer.usage)
        return answer

    def _count(self, request: ModelRequest, used: Usage) -> None:
        if self._counter:
            self._counter.count(self.caller_id, self.counted_as or request.model, used)

    def _count_unfinished(self, request: ModelRequest, generated: int) -> None:
        if self._counter:
            model = self.counted_as or request.model
            self._counter.count_unfinished(self.caller_id, model, request, generated)
