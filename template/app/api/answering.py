"""How an endpoint waits for a model: in its caller's limits, in time, while the client is there."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel

from app.api.streaming import EventStream
from app.background import usage
from app.dependencies.caller import CurrentCaller, flags
from app.dependencies.disconnect import ClientGoneError, until_disconnect
from app.dependencies.limits import within_limits
from app.dependencies.resources import opened
from app.dependencies.streams import hold_stream
from engine.models.operations import Operation
from engine.errors import DeadlineExceeded, ModelUnavailable
from engine.slots import semaphore
from app.resources.lifespan import Resources
from engine.models.interface import (
    Chunk,
    Generation,
    Progress,
    Usage,
    progress,
)

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")

DONE = b"data: [DONE]\n\n"
"""OpenAI's last event of a whole answer."""


class TokenUsage(BaseModel):
    """OpenAI's `usage`, of which embeddings have no `completion_tokens`."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Answering:
    """One request for a model's answer; making it has counted the call against the limits."""

    request: Request
    caller_id: str
    flags: frozenset[str]
    headers: dict[str, str]
    resources: Resources

    async def whole(self, operation: Operation[B], body: B) -> Response:
        """Return the answer of `operation`, and count its tokens."""
        operation.permit(self.flags)
        model = operation.model_of(body)
        answer = await self._wait(model, body, operation.run(self.resources, body))
        self._count(model, answer.usage)
        return Response(answer.body, media_type="application/json", headers=self.headers)

    async def streamed(self, body: Generation, chunks: AsyncGenerator[Chunk, None]) -> Response:
        """Return `chunks` as server-sent events. What fails before the first is a plain error."""
        hold_stream(self.request.state.held, self.resources)
        first = await self._wait(body.model, body, _first(chunks))
        return EventStream(self._events(body, first, chunks), self.headers)

    async def _wait(self, model: str, body: BaseModel, call: Coroutine[Any, Any, T]) -> T:
        so_far = Progress()
        progress.set(so_far)
        try:
            return await until_disconnect(self.request, call)
        except (ClientGoneError, DeadlineExceeded, asyncio.CancelledError):
            self._count_unfinished(model, body, so_far.generated)
            raise

    async def _events(
        self, body: Generation, first: Chunk, chunks: AsyncGenerator[Chunk, None]
    ) -> AsyncGenerator[bytes, None]:
        chunk: Chunk | None = first
        generated, counted = 0, False
        try:
            while chunk is not None:
                if chunk.usage:
                    self._count(body.model, chunk.usage)
                    counted = True
                if chunk.events:
                    generated += 1
                    yield chunk.events
                chunk = await anext(chunks, None)
            yield DONE
        finally:
            if not counted:
                self._count_unfinished(body.model, body, generated)
            await chunks.aclose()

    def _count(self, model: str, used: Usage) -> None:
        usage.count(self.resources, self.caller_id, model, used)

    def _count_unfinished(self, model: str, body: BaseModel, generated: int) -> None:
        usage.count_unfinished(self.resources, self.caller_id, model, body, generated)


async def answering(request: Request, caller: CurrentCaller) -> Answering:
    """Return the means to answer this request by a model, in its caller's turn."""
    semaphore.caller.set(caller.id)
    return Answering(
        request=request,
        caller_id=caller.id,
        flags=await flags(request, caller),
        headers=await within_limits(request, caller),
        resources=opened(request),
    )


ModelAnswer = Annotated[Answering, Depends(answering)]


async def _first(chunks: AsyncGenerator[Chunk, None]) -> Chunk:
    async for chunk in chunks:
        return chunk
    raise ModelUnavailable("The model ended its answer before it began.")
