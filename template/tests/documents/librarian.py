"""A model server that embeds by words, and answers with the first source that it is shown."""

import base64
import json
import re
import zlib
from typing import Any

import numpy as np
from aiohttp import web

Json = dict[str, Any]
SHOWN = re.compile(r'<source number="(\d+)"')
WORD = re.compile(r"\w+")
PIECE = 3
"""Characters of one chunk of a stream: markers come in pieces."""


def embedding(text: str, dimensions: int) -> bytes:
    """Return a vector in which each word has a place."""
    vector = np.zeros(dimensions, dtype="<f4")
    for word in WORD.findall(text.lower()):
        vector[zlib.crc32(word.encode()) % dimensions] += 1
    return vector.tobytes()


async def answer(request: web.Request) -> web.StreamResponse:
    """Answer one request."""
    if request.method == "GET":
        return web.json_response({"object": "list", "data": [{"id": "librarian"}]})
    body: Json = await request.json()
    if request.path.endswith("/embeddings"):
        return web.json_response(_embeddings(body))
    if request.path.endswith("/responses"):
        return web.json_response({"error": {"message": "unknown"}}, status=404)
    message = _message(body)
    if body.get("stream"):
        return await _stream(request, message)
    choice = {"index": 0, "message": message, "finish_reason": _finish(message)}
    return web.json_response({**_head("chat.completion"), "choices": [choice], "usage": USAGE})


USAGE = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}


def _embeddings(body: Json) -> Json:
    texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors = [embedding(text, body["dimensions"]) for text in texts]
    data = [
        {"object": "embedding", "index": at, "embedding": base64.b64encode(each).decode()}
        for at, each in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}


def _message(body: Json) -> Json:
    messages = body["messages"]
    tools = [each["function"]["name"] for each in body.get("tools") or ()]
    if tools and messages[-1]["role"] == "user":
        arguments = json.dumps({"query": messages[-1]["content"]})
        function = {"name": tools[0], "arguments": arguments}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    numbers = SHOWN.findall("\n".join(str(each.get("content")) for each in messages))
    text = f"It is so [{numbers[0]}]. Not [9999] or [x]." if numbers else "I do not know."
    return {"role": "assistant", "content": text}


async def _stream(request: web.Request, message: Json) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    text = message.get("content") or ""
    deltas = [{"content": text[at : at + PIECE]} for at in range(0, len(text), PIECE)]
    for delta in deltas or [message]:
        await response.write(_event([{"index": 0, "delta": delta, "finish_reason": None}]))
    last = {"index": 0, "delta": {}, "finish_reason": _finish(message)}
    await response.write(_event([last]) + _event([], usage=USAGE) + b"data: [DONE]\n\n")
    return response


def _event(choices: list[Json], **more: object) -> bytes:
    chunk = {**_head("chat.completion.chunk"), "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "librarian"}


def _finish(message: Json) -> str:
    return "tool_calls" if message.get("tool_calls") else "stop"
