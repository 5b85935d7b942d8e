"""A model server on loopback: scripted, or the simulated model behind OpenAI's wire format."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

from aiohttp import web
from anyio.from_thread import start_blocking_portal

from app.api.errors import envelope, status_code
from engine.errors import AppError
from engine.models.interface import ChatRequest, EmbeddingsRequest, Model

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Upstream:
    """What a server has seen."""

    def __init__(self) -> None:
        self.url = ""
        self.active = 0
        self.bodies: list[Json] = []
        self.headers: list[Json] = []
        self.connections: set[object] = set()
        self.gone = asyncio.Event()
        """Set once a client hung up on an answer."""


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Upstream]:
    """Yield a server that answers every request with `handler`."""
    upstream = Upstream()

    async def handle(request: web.Request) -> web.StreamResponse:
        upstream.headers.append(dict(request.headers))
        upstream.connections.add(request.transport)
        if request.can_read_body:
            upstream.bodies.append(await request.json())
        upstream.active += 1
        try:
            return await handler(request)
        except (asyncio.CancelledError, ConnectionResetError):
            upstream.gone.set()
            raise
        finally:
            upstream.active -= 1

    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/v1/{path:.*}", handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield upstream
    finally:
        await runner.cleanup()


@contextmanager
def serving_in_thread(handler: Handler) -> Iterator[str]:
    """Yield the address of such a server beside a test that is no coroutine."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serving(handler)) as upstream,
    ):
        yield upstream.url


def answering(status: int, content: object, headers: dict[str, str] | None = None) -> Handler:
    """Return a handler that gives this answer."""

    async def handler(_request: web.Request) -> web.StreamResponse:
        text = content if isinstance(content, str) else json.dumps(content)
        return web.Response(
            status=status, text=text, headers=headers, content_type="application/json"
        )

    return handler


def streaming(*writes: bytes, broken: bool = False) -> Handler:
    """Return a handler that streams these writes; `broken` then cuts the connection."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = await _event_stream(request)
        for write in writes:
            await response.write(write)
            await asyncio.sleep(0.01)  # a read of its own for the client
        if broken and request.transport:
            request.transport.abort()
        return response

    return handler


def modelling(model: Model) -> Handler:
    """Return a handler that answers as `model` does."""

    async def handler(request: web.Request) -> web.StreamResponse:
        try:
            match request.match_info["path"]:
                case "chat/completions":
                    return await _chat(model, request)
                case "embeddings":
                    embeddings = EmbeddingsRequest.model_validate_json(await request.read())
                    answer = await model.embed(embeddings)
                    return web.Response(body=answer.body, content_type="application/json")
                case _:
                    cards = [card.model_dump() for card in await model.models()]
                    return web.json_response({"object": "list", "data": cards})
        except AppError as error:
            return web.json_response(envelope(error), status=status_code(error))

    return handler


async def _chat(model: Model, request: web.Request) -> web.StreamResponse:
    chat = ChatRequest.model_validate_json(await request.read())
    if not chat.stream:
        answer = await model.complete(chat)
        return web.Response(body=answer.body, content_type="application/json")
    async with aclosing(model.stream(chat)) as chunks:
        first = await anext(chunks)
        response = await _event_stream(request)
        await response.write(first.events)
        async for chunk in chunks:
            await response.write(chunk.events)
    await response.write(b"data: [DONE]\n\n")
    return response


async def _event_stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    return response
