"""Server-sent events as OpenAI's clients read them."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from anyio import create_task_group
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.errors import envelope
from app.dependencies.deadline import Deadline
from app.errors import AppError, ModelError
from app.resources.models.interface import Chunk, Usage

log = logging.getLogger(__name__)

PING_SECONDS = 15.0
"""Silence after which a comment keeps proxies from closing the connection."""

DONE = b"data: [DONE]\n\n"


class EventStream(Response):
    """Streams chunks, pings in silence, stops the model when the client goes.

    One task pings and one watches the client for the whole stream, so a token costs no task.
    An error after the first byte becomes one `data: {"error": …}` without `[DONE]`.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        chunks: AsyncGenerator[Chunk, None],
        deadline: Deadline,
        count: Callable[[Usage], None],
        headers: Mapping[str, str],
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", **headers})
        self._chunks = chunks
        self._deadline = deadline
        self._count = count
        self._last_sent = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with create_task_group() as tasks:

            async def stop_when_gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(stop_when_gone)
            tasks.start_soon(self._ping, send)
            await self._relay(send)
            tasks.cancel_scope.cancel()

    async def _relay(self, send: Send) -> None:
        try:
            async with self._deadline.limit(), aclosing(self._chunks):
                async for chunk in self._chunks:
                    if chunk.events:
                        await self._write(send, chunk.events)
                    if chunk.usage:
                        self._count(chunk.usage)
            last = DONE
        except AppError as error:
            last = _event(error)
        except Exception:
            log.exception("a stream failed")
            last = _event(ModelError("The answer broke off."))
        await send({"type": "http.response.body", "body": last})

    async def _ping(self, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        self._last_sent = clock()
        while True:
            silence = clock() - self._last_sent
            if silence >= PING_SECONDS:
                await self._write(send, b": ping\n\n")
            await asyncio.sleep(max(PING_SECONDS - silence, 1.0))

    async def _write(self, send: Send, events: bytes) -> None:
        self._last_sent = asyncio.get_running_loop().time()
        await send({"type": "http.response.body", "body": events, "more_body": True})


def _event(error: AppError) -> bytes:
    return b"data: " + json.dumps(envelope(error)).encode() + b"\n\n"
