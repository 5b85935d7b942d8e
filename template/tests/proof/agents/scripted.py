"""A model that says what its caller's message tells it to: turn by turn, calls or a text.

The last message of the user that is JSON is the script, a list of turns: each is a text, or a list
of calls, each a name and its arguments. Its ids of calls repeat in each turn, as some servers' do.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from engine.models import wire
from engine.models.interface import Answer, ChatRequest, Chunk, ModelCard, Progress, Usage
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

MODEL = "scripted"
Turn = str | list[tuple[str, dict[str, Any]]]


def script(*turns: Turn) -> str:
    """Return the user's message for these turns."""
    return json.dumps(turns)


class Scripted:
    """Answers turn by turn; it tells what it has read where a turn is `?`."""

    async def complete(self, request: ChatRequest, so_far: Progress | None = None) -> Answer:
        return await wire.whole_answer(_chunks(request), so_far)

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        return wire.streamed_answer(_chunks(request), request)

    async def models(self) -> list[ModelCard]:
        return [ModelCard(id=MODEL)]


def _turn(request: ChatRequest) -> Turn:
    """Return the first turn that the conversation does not have. It may show several as one."""
    turns: list[Turn] = ["I have no script."]
    texts = calls = 0
    for message in request.messages:
        if message.role == "user" and isinstance(message.content, str):
            with suppress(ValueError):
                turns, texts, calls = json.loads(message.content), 0, 0
        if message.role == "assistant":
            called = (message.model_extra or {}).get("tool_calls") or []
            texts, calls = texts + (not called), calls + len(called)
    for turn in turns:
        if isinstance(turn, str):
            texts -= 1
        else:
            calls -= len(turn)
        if texts < 0 or calls < 0:
            return turn
    return turns[-1]


async def _chunks(request: ChatRequest) -> AsyncGenerator[wire.Json, None]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    turn = _turn(request)
    _note(request)
    if turn == "?":
        turn = json.dumps([each.model_dump() for each in request.messages])
    deltas = _text(turn) if isinstance(turn, str) else _calls(turn)
    for delta in deltas:
        await asyncio.sleep(float(os.environ.get("SCRIPTED_SECONDS", "0")))
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    finish = "stop" if isinstance(turn, str) else "tool_calls"
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    yield {**head, "choices": [], "usage": wire.usage_object(Usage(10, len(deltas)))}


def _note(request: ChatRequest) -> None:
    """Write the question among a service's effects, with its length and the process that asks."""
    folder = Path(os.environ["DATA_DIR"])
    if folder.is_dir():
        with (folder / "effects.txt").open("a") as file:
            file.write(f"model {len(request.messages)} 1 {os.getpid()}\n")


def _text(text: str) -> list[wire.Json]:
    return [{"content": word} for word in text.split(" ")[:1]] + [
        {"content": f" {word}"} for word in text.split(" ")[1:]
    ]


def _calls(calls: list[tuple[str, dict[str, Any]]]) -> list[wire.Json]:
    return [
        {
            "tool_calls": [
                {
                    "index": at,
                    "id": f"call_{at}",
                    "function": {"name": name, "arguments": json.dumps(arguments)},
                }
            ]
        }
        for at, (name, arguments) in enumerate(calls)
    ]


@asynccontextmanager
async def open_provider(
    _settings: Settings, _session: UpstreamSession, _tokenizer: Tokenizer
) -> AsyncIterator[Scripted]:
    """Yield the scripted model."""
    yield Scripted()
