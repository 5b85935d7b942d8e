"""Pieces of OpenAI's wire format that providers put together themselves."""

import base64
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import InvalidRequest, NotFound, Unsupported
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Progress,
    Usage,
)
from engine.process.tokenizer import Tokenizer

Json = dict[str, Any]

ALTERING: dict[str, tuple[object, ...]] = {
    "audio": (),
    "best_of": (1,),
    "function_call": ("none", "auto"),
    "functions": ([],),
    "modalities": (["text"],),
    "moderation": (),
    "suffix": ("",),
    "tool_choice": ("none", "auto"),
    "tools": ([],),
    "web_search_options": (),
}
"""Fields that change the kind of an answer, each with the values that ask for nothing. All other
fields only tune it: a provider may pass them over."""


def encode_json(value: Any) -> bytes:  # noqa: ANN401 -- any JSON
    """Return JSON."""
    return msgspec.json.encode(value)


def sse_event(chunk: Json) -> bytes:
    """Return a chunk as a server-sent event."""
    return b"data: " + encode_json(chunk) + b"\n\n"


def data_of(events: bytes) -> Iterator[bytes]:
    """Yield the data of each of some whole server-sent events."""
    for line in events.splitlines():
        if line.startswith(b"data:"):
            yield line[5:].strip()


def usage_object(usage: Usage) -> dict[str, int]:
    """Return OpenAI's `usage`."""
    return {**asdict(usage), "total_tokens": usage.prompt_tokens + usage.completion_tokens}


def usage_of(chunk: Json) -> Usage | None:
    """Return the usage in a chunk, None where it has none."""
    usage = chunk.get("usage")
    return Usage(usage["prompt_tokens"], usage["completion_tokens"]) if usage else None


def require_model(name: str, known: Sequence[str]) -> None:
    """Raise `NotFound` for a model that is not among the known ones."""
    if name not in known:
        raise NotFound(
            f"The model `{name}` does not exist or you do not have access to it. "
            f"There is: {', '.join(known)}.",
            param="model",
            code="model_not_found",
        )


def refuse_others(request: ChatRequest, honoured: Collection[str] = ()) -> None:
    """Raise `Unsupported` for a field of `ALTERING` that is not among the honoured ones."""
    completion = getattr(request, "completion", None)
    if completion and completion.echo and completion.logprobs is not None:
        raise unsupported("echo")  # the prompt's own probabilities are not known
    for field in ALTERING.keys() - set(honoured):
        value = getattr(request, field, getattr(completion, field, None))
        if value is not None and value not in ALTERING[field]:
            raise unsupported(field)


def unsupported(field: str) -> Unsupported:
    """Return the refusal of a field, in OpenAI's words."""
    message = f"Unsupported parameter: '{field}' is not supported with this model."
    return Unsupported(message, param=field)


def embeddings_answer(
    request: EmbeddingsRequest, vectors: NDArray[np.float32], tokens: int
) -> Answer:
    """Return vectors, one a row, as OpenAI's list: floats, or base64 of little-endian float32."""
    as_base64 = request.encoding_format == "base64"
    little = vectors.astype("<f4")
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode() if as_base64 else row.tolist(),
        }
        for index, row in enumerate(little)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "data": data, "model": request.model, "usage": usage}
    return Answer(encode_json(body), Usage(prompt_tokens=tokens))


async def input_texts(
    inputs: str | list[str] | list[int] | list[list[int]], tokenizer: Tokenizer, param: str
) -> list[str]:
    """Return the inputs as texts; token ids are decoded. Raise `InvalidRequest` for unknown ids."""
    if isinstance(inputs, str):
        return [inputs]
    try:
        if isinstance(inputs[0], int):
            return [await tokenizer.decode(inputs)]
        return [each if isinstance(each, str) else await tokenizer.decode(each) for each in inputs]
    except ValueError as error:
        raise InvalidRequest(str(error), param=param) from error


async def whole_answer(
    chunks: AsyncGenerator[Json, None], so_far: Progress | None = None
) -> Answer:
    """Return `chat.completion.chunk` objects, the last with the usage, as one answer.

    The choices that have come are counted in `so_far`.
    """
    assembly, usage, so_far = Assembly(), Usage(), so_far or Progress()
    async with aclosing(chunks):
        async for chunk in chunks:
            so_far.generated += len(chunk["choices"])
            usage = usage_of(chunk) or usage
            assembly.add(chunk)
    return assembly.whole(usage)


async def streamed_answer(
    chunks: AsyncGenerator[Json, None], request: ChatRequest
) -> AsyncGenerator[Chunk, None]:
    """Yield `chat.completion.chunk` objects as events; the usage only where it is asked for."""
    async with aclosing(chunks):
        async for chunk in chunks:
            wanted = chunk["choices"] or request.include_usage
            yield Chunk(sse_event(chunk) if wanted else b"", usage_of(chunk))


class Assembly:
    """Puts streamed chunks together to the whole `chat.completion`."""

    def __init__(self) -> None:
        self._head: Json = {}
        self._choices: dict[int, Json] = {}

    def add(self, chunk: Json) -> None:
        """Take the next chunk."""
        self._head = self._head or {key: chunk[key] for key in ("id", "created", "model")}
        for part in chunk["choices"]:
            choice = self._choices.setdefault(part["index"], _empty_choice(part["index"]))
            choice["finish_reason"] = part.get("finish_reason") or choice["finish_reason"]
            _add_logprobs(choice, part.get("logprobs"))
            _add_delta(choice["message"], part["delta"])

    def whole(self, usage: Usage) -> Answer:
        """Return the answer."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        body = {**self._head, "object": "chat.completion", "choices": choices}
        return Answer(encode_json({**body, "usage": usage_object(usage)}), usage)


def _empty_choice(index: int) -> Json:
    message = {"role": "assistant", "content": None}
    return {"index": index, "message": message, "finish_reason": None, "logprobs": None}


def _add_logprobs(choice: Json, logprobs: Json | None) -> None:
    if logprobs and logprobs.get("content"):
        choice["logprobs"] = choice["logprobs"] or {"content": [], "refusal": None}
        choice["logprobs"]["content"] += logprobs["content"]


def _add_delta(message: Json, delta: Json) -> None:
    if delta.get("content") is not None:
        message["content"] = (message["content"] or "") + delta["content"]
    for part in delta.get("tool_calls") or []:
        calls = message.setdefault("tool_calls", [])
        if part["index"] == len(calls):
            function = {"name": "", "arguments": ""}
            calls.append({"id": part["id"], "type": "function", "function": function})
        function = calls[part["index"]]["function"]
        for key in ("name", "arguments"):
            function[key] += part["function"].get(key) or ""
