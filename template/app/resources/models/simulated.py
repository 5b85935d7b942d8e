"""A model that makes up its answers: deterministic, and as slow and unreliable as you set it.

For tests and load tests. The same request and `simulated_seed` give the same words; errors are
drawn anew for each call, in the same order in each process, so that a retry may succeed.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from aiohttp import ClientSession

from app.errors import ModelRateLimited, ModelUnavailable
from app.resources.models import wire
from app.resources.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    Usage,
)
from app.resources.models.schema import instance
from app.resources.models.wire import Assembly, Json
from app.resources.tokenizer import Tokenizer
from app.settings import Settings

CHAT, EMBEDDINGS = "simulated-chat", "simulated-embeddings"
WORDS = (
    "the a one some quiet bright early model answer token queue worker lease loop request river "
    "garden window letter stone runs waits holds opens returns follows under with"
)
DEFAULT_TOKENS = 32
DIMENSIONS = 256


class Simulated:
    """Answers of words without sense, one token each."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._chance = random.Random(settings.simulated_seed)  # noqa: S311 -- no secret

    async def complete(self, request: ChatRequest) -> Answer:
        """Answer as a whole, as slowly as the stream."""
        assembly = Assembly()
        usage = Usage()
        async for chunk, used in self._chunks(request):
            assembly.add(chunk)
            usage = used or usage
        return assembly.whole(usage)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer token by token."""
        async for chunk, used in self._chunks(request):
            if chunk["choices"] or request.include_usage:
                yield Chunk(wire.event(chunk), used)
            else:
                yield Chunk(b"", used)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Return unit vectors drawn from each text's hash."""
        wire.require_model(request.model, [EMBEDDINGS])
        await self._begin()
        texts = await wire.texts(request, self._tokenizer)
        tokens = sum([await self._tokenizer.count(text) for text in texts])
        size = request.dimensions or DIMENSIONS
        vectors = np.stack([_vector(text, size) for text in texts])
        return wire.embeddings(request, vectors, tokens)

    async def models(self) -> list[ModelCard]:
        """List the two simulated models."""
        return [ModelCard(id=CHAT), ModelCard(id=EMBEDDINGS)]

    async def _chunks(
        self, request: ChatRequest
    ) -> AsyncGenerator[tuple[Json, Usage | None], None]:
        wire.require_model(request.model, [CHAT])
        await self._begin()
        prompt = wire.encode([message.model_dump() for message in request.messages])
        seed = (
            f"{self._settings.simulated_seed} {request.seed} {hashlib.sha256(prompt).hexdigest()}"
        )
        chunk = {
            "id": f"chatcmpl-{hashlib.sha256(seed.encode()).hexdigest()[:24]}",
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": request.model,
        }
        generated = 0
        for index in range(request.n or 1):
            yield {**chunk, "choices": [_choice(index, {"role": "assistant", "content": ""})]}, None
            words = _Words(request, random.Random(f"{seed} {index}"))  # noqa: S311
            for delta, logprobs in words.deltas():
                await asyncio.sleep(1 / self._settings.simulated_tokens_per_second)
                generated += 1
                yield {**chunk, "choices": [_choice(index, delta, logprobs=logprobs)]}, None
            yield {**chunk, "choices": [_choice(index, {}, finish=words.finish)]}, None
        usage = Usage(await self._tokenizer.count(prompt.decode()), generated)
        yield {**chunk, "choices": [], "usage": wire.usage_object(usage)}, usage

    async def _begin(self) -> None:
        drawn = self._chance.random()
        await asyncio.sleep(self._settings.simulated_latency)
        if drawn < self._settings.simulated_error_rate:
            raise ModelUnavailable("The simulated model failed, as it is set to.")
        drawn -= self._settings.simulated_error_rate
        if drawn < self._settings.simulated_rate_limit_rate:
            raise ModelRateLimited("The simulated model is busy, as it is set to.", retry_after=0.1)


class _Words:
    """The deltas of one choice, and why they end."""

    def __init__(self, request: ChatRequest, chance: random.Random) -> None:
        self._request = request
        self._chance = chance
        self.finish = "stop"

    def deltas(self) -> Iterator[tuple[Json, Json | None]]:
        """Yield each delta with its made-up log probabilities."""
        if tool := self._tool():
            self.finish = "tool_calls"
            yield from _tool_call(tool, self._chance)
            return
        for token in self._limited(self._unlimited()):
            yield {"content": token}, self._logprobs(token)

    def _unlimited(self) -> Iterator[str]:
        form = self._request.response_format or {}
        if form.get("type") == "json_schema":
            schema = form.get("json_schema", {}).get("schema", {})
            yield from _pieces(wire.encode(instance(schema)).decode())
        elif form.get("type") == "json_object":
            yield from _pieces('{"answer": "yes"}')
        else:
            for position in range(DEFAULT_TOKENS):
                yield (" " if position else "") + self._chance.choice(WORDS.split())

    def _limited(self, tokens: Iterator[str]) -> Iterator[str]:
        most = self._request.max_completion_tokens or self._request.max_tokens
        stops = self._request.stop or []
        text = ""
        for count, token in enumerate(tokens):
            if count == most:
                self.finish = "length"
                return
            text += token
            if any(stop in text for stop in ([stops] if isinstance(stops, str) else stops)):
                return
            yield token

    def _tool(self) -> Json | None:
        tools, choice = self._request.tools or [], getattr(self._request, "tool_choice", None)
        named = choice["function"]["name"] if isinstance(choice, dict) else None
        wanted = [tool for tool in tools if named in (None, tool["function"]["name"])]
        return wanted[0] if wanted and (named or choice == "required") else None

    def _logprobs(self, token: str) -> Json | None:
        if not self._request.logprobs:
            return None
        entry = {"token": token, "logprob": -self._chance.random(), "bytes": list(token.encode())}
        top = [entry] * min(self._request.top_logprobs or 0, 1)
        return {"content": [{**entry, "top_logprobs": top}]}


def _choice(
    index: int, delta: Json, *, finish: str | None = None, logprobs: Json | None = None
) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _tool_call(tool: Json, chance: random.Random) -> Iterator[tuple[Json, None]]:
    function = tool["function"]
    head = {"name": function["name"], "arguments": ""}
    name = f"call_{chance.getrandbits(64):016x}"
    yield {"tool_calls": [{"index": 0, "id": name, "type": "function", "function": head}]}, None
    for piece in _pieces(wire.encode(instance(function.get("parameters", {}))).decode()):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), 4):
        yield text[start : start + 4]


def _vector(text: str, size: int) -> Any:  # noqa: ANN401
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    return vector / np.linalg.norm(vector)


@asynccontextmanager
async def open_provider(
    settings: Settings, _http: ClientSession, tokenizer: Tokenizer
) -> AsyncIterator[Simulated]:
    """Yield the simulated model."""
    yield Simulated(settings, tokenizer)
