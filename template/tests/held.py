"""A model server that holds its answers back until the test lets them go."""

import asyncio
import json

from aiohttp import web

HELD = "Hold"
"""The question whose answer is held; others are answered at once."""

USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


class HeldModel:
    """Whole answers wait until they are `released`, streams after their first chunk."""

    def __init__(self) -> None:
        self.waiting = 0
        self.released = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        if request.method == "GET":  # the list of models, which tells that the server is there
            return web.json_response({"object": "list", "data": []})
        chat = await request.json()
        if chat.get("stream"):
            return await self._stream(request)
        if chat["messages"][0]["content"] == HELD:
            await self._hold()
        message = {"role": "assistant", "content": "At last."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response(_object("chat.completion", [choice]) | {"usage": USAGE})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for reason in (None, "stop"):
            choice = {"index": 0, "delta": {"content": "At last."}, "finish_reason": reason}
            await response.write(_event(_object("chat.completion.chunk", [choice])))
            if not reason:
                await self._hold()
        usage = _object("chat.completion.chunk", []) | {"usage": USAGE}
        await response.write(_event(usage) + b"data: [DONE]\n\n")
        return response

    async def _hold(self) -> None:
        self.waiting += 1
        while not self.released:  # noqa: ASYNC110 -- set by another thread
            await asyncio.sleep(0.02)


def _object(kind: str, choices: list[object]) -> dict[str, object]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "held", "choices": choices}


def _event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode() + b"\n\n"
