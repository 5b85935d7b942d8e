"""The app on a real server inside the test's own event loop, where a test can reach into it."""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx2
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Model,
    ModelCard,
    Usage,
)


@asynccontextmanager
async def serving(
    app: FastAPI, *, reset_contextvars: bool = True
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client of the running `app`; both end with the block."""
    handlers = logging.root.handlers[:]
    listening = socket.create_server(("127.0.0.1", 0))
    options = {"log_config": None, "access_log": False, "reset_contextvars": reset_contextvars}
    config = uvicorn.Config(app, timeout_graceful_shutdown=5, **options)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not server.started:
            assert not running.done()
            await asyncio.sleep(0.01)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with httpx2.AsyncClient(base_url=url, timeout=60) as client:
            yield client
    finally:
        server.should_exit = True
        await running
        logging.root.handlers[:] = handlers  # the app has put its own in their place


class Streaming(ABC):
    """A model that only streams; a whole answer of it is its stream, waited for."""

    @abstractmethod
    def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]: ...

    async def complete(self, request: ChatRequest) -> Answer:
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
            state["resources"] = replace(state["resources"], model=self.model)
        await self.app(scope, receive, send)


def with_model(app: FastAPI, model: Model) -> FastAPI:
    """Return the app with another model."""
    app.add_middleware(OtherModel, model=model)
    return app
