"""Shorthands for asking a model and reading its answer."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

from app.settings import Settings
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    Model,
)

Json = dict[str, Any]


def settings(**values: object) -> Settings:
    """Return settings that only the test decides."""
    return Settings(_env_file=None, **values)  # type: ignore[arg-type]


def chat(model: str, text: str = "Hello", **fields: object) -> ChatRequest:
    """Return a request with one message, unless `messages` says otherwise."""
    messages = [{"role": "user", "content": text}]
    return ChatRequest.model_validate({"model": model, "messages": messages, **fields})


def body(answer: Answer) -> Json:
    """Return the answer's JSON."""
    parsed: Json = json.loads(answer.body)
    return parsed


async def collect(chunks: AsyncGenerator[Chunk, None]) -> list[Chunk]:
    """Return the whole stream."""
    return [chunk async for chunk in chunks]


def events(chunks: list[Chunk]) -> list[Json]:
    """Return the JSON of each event, and check that each is whole."""
    parsed = []
    for chunk in chunks:
        if chunk.events:
            assert chunk.events.endswith(b"\n\n")
            for event in chunk.events.removesuffix(b"\n\n").split(b"\n\n"):
                assert event.startswith(b"data: ")
                parsed.append(json.loads(event.removeprefix(b"data: ")))
    return parsed


def text_of(parsed: list[Json], index: int = 0) -> str:
    """Return the streamed text of one choice."""
    choices = [choice for event in parsed for choice in event["choices"]]
    return "".join(
        choice["delta"].get("content") or "" for choice in choices if choice["index"] == index
    )


async def streamed(model: Model, request: ChatRequest) -> list[Json]:
    """Return the events of a streamed answer."""
    return events(await collect(model.stream(request)))


async def until(holds: Callable[[], object]) -> None:
    """Wait until `holds()` is true."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 -- asks what has no event
            await asyncio.sleep(0.005)
