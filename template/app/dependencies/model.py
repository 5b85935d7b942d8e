"""The model bound to the caller of this request, which stops when the client disconnects."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import Annotated, TypeVar

from fastapi import Depends, Request

from app.dependencies.caller import CurrentCaller, flags
from app.dependencies.limits import within_limits
from app.dependencies.resources import opened
from app.resources.lifespan import Resources
from engine.callers.keys import Caller
from engine.models.interface import Answer, ChatRequest, Chunk, EmbeddingsRequest, ModelCard
from engine.operations.bound_model import BoundModel
from engine.process.tasks import end_tasks
from engine.resources import model_for

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds until work that goes on is cancelled again: `end_tasks` tells why."""


class ClientGoneError(Exception):
    """The client has hung up and reads no answer any more."""


async def until_disconnect(request: Request, call: Awaitable[T]) -> T:
    """Return the result of `call`, or cancel it and raise `ClientGoneError` when the client goes.

    A plain handler is never cancelled: it would pay for an answer that no client reads. To be used
    once the body has been read. It costs one task; another for `call` would double that.
    """
    waiting = asyncio.current_task()
    assert waiting  # noqa: S101 -- this is a coroutine
    earlier, cancelled = waiting.cancelling(), 0

    async def cancel_when_gone() -> None:
        nonlocal cancelled
        while (await request.receive())["type"] != "http.disconnect":
            pass
        while True:
            cancelled += 1
            waiting.cancel()
            await asyncio.sleep(PATIENCE)

    watching = asyncio.ensure_future(cancel_when_gone())
    try:
        return await call
    except asyncio.CancelledError:
        if cancelled and waiting.cancelling() - cancelled <= earlier:
            raise ClientGoneError from None  # cancelled by this function alone
        raise
    finally:
        await end_tasks(watching)
        for _ in range(cancelled):
            waiting.uncancel()


class RequestModel:
    """Asks the model for this request's caller, and stops when its client goes.

    `request_model` has counted the request against the caller's limits; `headers` tell the rest.
    """

    def __init__(
        self, request: Request, bound: BoundModel, headers: dict[str, str], flags: frozenset[str]
    ) -> None:
        self.request = request
        self.bound = bound
        """The same without a watch on the client, for work that is watched as a whole."""
        self.headers = headers
        self.flags = flags

    async def default(self) -> str:
        """Return the model of the app's own features."""
        return await self.bound.default()

    async def complete(self, request: ChatRequest) -> Answer:
        """Answer a chat as a whole."""
        return await until_disconnect(self.request, self.bound.complete(request))

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer a chat as it is generated; `answer_streamed` makes an answer of it."""
        return self.bound.stream(request)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Embed each input."""
        return await until_disconnect(self.request, self.bound.embed(request))


async def request_model(request: Request, caller: CurrentCaller) -> RequestModel:
    """Return the model of this request, in its caller's limits; raise `RateLimited` beyond them."""
    bound = model_for(opened(request), caller.id)
    headers = await within_limits(request, caller)
    return RequestModel(request, bound, headers, await flags(request, caller))


async def callers_models(shared: Resources, caller: Caller) -> list[ModelCard]:
    """List the provider's models that a caller may name; no limit counts it."""
    return await model_for(shared, caller.id).models()


CallersModel = Annotated[RequestModel, Depends(request_model)]
