"""A model that makes up its answers: deterministic, and as slow and unreliable as you set it.

For tests and load tests. The same request and `simulated_seed` give the same words. Errors are
drawn call by call, in the same order in each process, so that a retry may succeed.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np
from anyio import CapacityLimiter
from numpy.random import default_rng
from numpy.typing import NDArray

from engine.errors import ModelRateLimited, ModelUnavailable, Unsupported
from engine.models import wire
from engine.models.interface import (
    FINE_TUNED,
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    Progress,
    Usage,
)
from engine.models.wire import Json
from engine.models.words import Words, script
from engine.process.http import UpstreamSession
from engine.process.offload import in_thread
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

CHAT, EMBEDDINGS = "simulated-chat", "simulated-embeddings"
DIMENSIONS, MOST_DIMENSIONS = 256, 4096


class Simulated:
    """Answers of words without sense, one token each."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self._settings = settings
        self._tokenizer = tokenizer
        self._chance = random.Random(settings.simulated_seed)  # noqa: S311 -- no secret
        self._embedding = CapacityLimiter(1)
        self._slots = asyncio.Semaphore(settings.simulated_parallel)

    async def complete(self, request: ChatRequest, so_far: Progress | None = None) -> Answer:
        """Answer as a whole, as slowly as the stream."""
        return await wire.whole_answer(self._limited(request), so_far)

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer token by token."""
        return wire.streamed_answer(self._limited(request), request)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Return unit vectors drawn from each text's hash."""
        wire.require_model(request.model, [EMBEDDINGS])
        size = request.dimensions or DIMENSIONS
        if size > MOST_DIMENSIONS:
            message = f"{EMBEDDINGS} has {MOST_DIMENSIONS} dimensions at most."
            raise Unsupported(message, param="dimensions")
        async with self._slots:
            await self._begin()
        texts = await wire.input_texts(request.input, self._tokenizer, "input")
        tokens = sum([await self._tokenizer.count(text) for text in texts])
        vectors = await in_thread(self._embedding, _vectors, texts, size)
        return wire.embeddings_answer(request, vectors, tokens)

    async def models(self) -> list[ModelCard]:
        """List the two simulated models."""
        return [ModelCard(id=CHAT), ModelCard(id=EMBEDDINGS)]

    async def _limited(self, request: ChatRequest) -> AsyncGenerator[Json, None]:
        async with self._slots, aclosing(self._chunks(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[Json, None]:
        wire.require_model(_base(request.model), [CHAT])
        wire.refuse_others(request, honoured=("tools", "tool_choice"))
        plan = script(request)
        await self._begin()
        prompt = wire.encode_json([message.model_dump() for message in request.messages])
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
            yield {**chunk, "choices": [_choice(index, {"role": "assistant", "content": ""})]}
            words = Words(plan, random.Random(f"{seed} {index}"))  # noqa: S311
            for delta, token in words.deltas():
                await asyncio.sleep(1 / self._settings.simulated_tokens_per_second)
                generated += 1
                wanted = request.logprobs and "content" in delta
                logprobs = words.logprobs(token, request.top_logprobs or 0) if wanted else None
                yield {**chunk, "choices": [_choice(index, delta, logprobs=logprobs)]}
            yield {**chunk, "choices": [_choice(index, {}, finish=words.finish)]}
        usage = Usage(await self._tokenizer.count(prompt.decode()), generated)
        yield {**chunk, "choices": [], "usage": wire.usage_object(usage)}

    async def _begin(self) -> None:
        drawn = self._chance.random()
        await asyncio.sleep(self._settings.simulated_latency)
        if drawn < self._settings.simulated_error_rate:
            raise ModelUnavailable("The simulated model failed, as it is set to.")
        drawn -= self._settings.simulated_error_rate
        if drawn < self._settings.simulated_rate_limit_rate:
            raise ModelRateLimited("The simulated model is busy, as it is set to.", retry_after=0.1)


def _base(model: str) -> str:
    """Return the model that a fine-tuned one was made of: `ft:simulated-chat:…` answers as it."""
    return model.split(":")[1] if model.startswith(f"{FINE_TUNED}{CHAT}:") else model


def _choice(
    index: int, delta: Json, *, finish: str | None = None, logprobs: Json | None = None
) -> Json:
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}


def _vectors(texts: list[str], size: int) -> NDArray[np.float32]:
    return np.stack([_vector(text, size) for text in texts])


def _vector(text: str, size: int) -> Any:  # noqa: ANN401
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    vector = default_rng(seed).standard_normal(size).astype(np.float32)
    return vector / np.linalg.norm(vector)


@asynccontextmanager
async def open_provider(
    settings: Settings, _session: UpstreamSession, tokenizer: Tokenizer
) -> AsyncIterator[Simulated]:
    """Yield the simulated model."""
    yield Simulated(settings, tokenizer)
