"""An agent whose model and tool take no time: it calls the tool as often as its caller says."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from engine.agents.agent import Agent
from engine.models import wire
from engine.models.interface import Answer, ChatRequest, Chunk, ModelCard, Progress, Usage
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

MODEL = "instant-chat"


async def note(number: int) -> str:
    """Note a number."""
    await asyncio.sleep(float(os.environ.get("TOOL_SECONDS", "0")))
    return f"noted {number}"


AGENT = Agent("instant", "Note numbers.", tools=[note], model=MODEL, max_steps=10_000)


class Instant:
    """Asks for a call after the other, then speaks."""

    async def complete(self, request: ChatRequest, so_far: Progress | None = None) -> Answer:
        """Answer as a whole."""
        return await wire.whole_answer(_chunks(request), so_far)

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer in three chunks."""
        return wire.streamed_answer(_chunks(request), request)

    async def models(self) -> list[ModelCard]:
        """List the one model."""
        return [ModelCard(id=MODEL)]


async def _chunks(request: ChatRequest) -> AsyncGenerator[wire.Json, None]:
    asked = next(each.content for each in request.messages if each.role == "user")
    noted = sum(each.role == "tool" for each in request.messages)
    delta: wire.Json = {"content": "Done."}
    if noted < int(str(asked)):
        function = {"name": "note", "arguments": json.dumps({"number": noted})}
        delta = {"tool_calls": [{"index": 0, "id": "call_0", "function": function}]}
    finish = "stop" if "content" in delta else "tool_calls"
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
    yield {**head, "choices": [], "usage": wire.usage_object(Usage(1, 1))}


@asynccontextmanager
async def open_provider(
    _settings: Settings, _session: UpstreamSession, _tokenizer: Tokenizer
) -> AsyncIterator[Instant]:
    """Yield the model."""
    yield Instant()
