"""Servers to measure against: a model that costs nothing, and relays that do nothing but relay."""

import asyncio
import sys
from typing import Any

from aiohttp import ClientSession, TCPConnector
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from uvicorn import run
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

TOKENS = 200
"""Tokens of a streamed answer, each in an event of its own."""

CHUNK = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":"word "},"logprobs":null,"finish_reason":null}]}\n\n'
)
USAGE = b'"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}'
LAST = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[],' + USAGE + b"}\n\n"
WHOLE = (
    b'{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"Hello there."},"finish_reason":"stop"}],'
    + USAGE
    + b"}"
)


class ModelServer:
    """Answers every chat with the same bytes, one event at a time where it streams."""

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        body = await read(receive)
        if b'"stream":true' not in body.replace(b" ", b""):
            await answer(send, b"application/json", [WHOLE])
            return
        await answer(send, b"text/event-stream", [*[CHUNK] * TOKENS, LAST, b"data: [DONE]\n\n"])


class Relay:
    """Passes bytes on, and nothing else: the least that any such server could cost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: ClientSession | None = None

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        self._client = self._client or ClientSession(connector=TCPConnector(limit=0))
        body = await read(receive)
        headers = {"content-type": "application/json"}
        async with self._client.post(self._url + scope["path"], data=body, headers=headers) as got:
            kind = got.headers["content-type"].encode()
            await begin(send, kind)
            async for data in got.content.iter_any():
                await send({"type": "http.response.body", "body": data, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def read(receive: ASGIReceiveCallable) -> bytes:
    """Return a request's body."""
    body, more = b"", True
    while more:
        message: Any = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def begin(send: ASGISendCallable, kind: bytes) -> None:
    """Begin a good answer."""
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", kind)],
            "trailers": False,
        }
    )


async def answer(send: ASGISendCallable, kind: bytes, parts: list[bytes]) -> None:
    """Send an answer in parts, a moment apart, so that each is an event of its own."""
    await begin(send, kind)
    for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
        if len(parts) > 1:
            await asyncio.sleep(0.002)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def relay_in_fastapi(url: str) -> FastAPI:
    """Return the least that an app with FastAPI could cost: one endpoint and no check."""
    app = FastAPI()
    clients: list[ClientSession] = []

    @app.post("/v1/chat/completions")
    async def relay(request: Request) -> Response:
        if not clients:
            clients.append(ClientSession(connector=TCPConnector(limit=0)))
        body, headers = await request.body(), {"content-type": "application/json"}
        got = await clients[0].post(url + request.url.path, data=body, headers=headers)
        if got.content_type == "text/event-stream":
            return StreamingResponse(got.content.iter_any(), media_type=got.content_type)
        return Response(await got.read(), media_type=got.content_type)

    return app


if __name__ == "__main__":
    kind, port, *urls = sys.argv[1:]
    makers = {"model": ModelServer, "relay": Relay, "fastapi": relay_in_fastapi}
    served: Any = makers[kind](*urls)  # type: ignore[operator]
    run(served, port=int(port), log_level="error", lifespan="off")
