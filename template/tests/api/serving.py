"""The app on a real server inside the test's own event loop, where a test can reach into it."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.models.failover import RetryBudget
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Model,
    ModelCard,
    Progress,
    Usage,
)
from engine.models.upstreams import Upstreams
from engine.slots.redis_semaphore import Priority


@asynccontextmanager
async def serving(
    app: FastAPI, *, reset_contextvars: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the running `app`; both end with the block."""
    handlers = logging.root.handlers[:]
    listening = socket.create_server(("127.0.0.1", 0))
    # On a busy machine a connection of a pool is idle for longer than uvicorn's 5 s.
    options = {
        "timeout_keep_alive": 60,
        "log_config": None,
        "access_log": False,
        "reset_contextvars": reset_contextvars,
    }
    config = uvicorn.Config(app, timeout_graceful_shutdown=5, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        await running
        logging.root.handlers[:] = handlers  # the app has put its own in their place


class Streaming(ABC):
    """A model that only streams; a whole answer of it is its stream, waited for."""

    @abstractmethod
    def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]: ...

    async def complete(self, request: ChatRequest, _so_far: Progress | None = None) -> Answer:
        async for _ in self.stream(request):
            pass
        return Answer(b"{}", Usage())

    async def embed(self, _request: EmbeddingsRequest) -> Answer:
        raise NotImplementedError

    async def models(self) -> list[ModelCard]:
        return []


class OtherModel:
    """ASGI around the app: requests find a model of the test's own among the resources."""

    def __init__(self, app: ASGIApp, model: Model) -> None:
        self.app = app
        self.model = model

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state = scope["state"]
            upstreams = dict.fromkeys(Priority, Only(self.model))
            state["resources"] = replace(state["resources"], _upstreams=upstreams)
        await self.app(scope, receive, send)


class Only(Upstreams):
    """A single provider, without slots, circuits and second tries."""

    def __init__(self, model: Model) -> None:
        super().__init__([], RetryBudget(0), 60.0)
        self._model = model

    async def complete(
        self, request: ChatRequest, _caller_id: str, so_far: Progress | None = None
    ) -> Answer:
        return await self._model.complete(request, so_far)

    async def embed(self, request: EmbeddingsRequest, _caller_id: str) -> Answer:
        return await self._model.embed(request)

    async def stream(self, request: ChatRequest, _caller_id: str) -> AsyncGenerator[Chunk, None]:
        async with aclosing(self._model.stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def models(self) -> list[ModelCard]:
        return await self._model.models()


def with_model(app: FastAPI, model: Model) -> FastAPI:
    """Return the app with another model."""
    app.add_middleware(OtherModel, model=model)
    return app
