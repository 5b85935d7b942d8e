"""The fields that are read of a chat's chunk or answer, and what they say in a response's terms."""

from typing import Any

import msgspec

from engine.errors import ModelUnavailable
from engine.models.reading import NOT_OPENAI, token_counts
from engine.models.wire import Json


class ChunkFunction(msgspec.Struct):
    """The part of a function call that a chunk has."""

    name: str | None = None
    arguments: str | None = None


class ChunkCall(msgspec.Struct):
    """The part of a tool call that a chunk has. Some servers leave the index out."""

    index: int = 0
    id: str | None = None
    function: ChunkFunction = msgspec.field(default_factory=ChunkFunction)


class Delta(msgspec.Struct):
    """A piece of an answer, or all of it. Servers have two names for the reasoning."""

    content: Any = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None
    tool_calls: list[ChunkCall] | None = None


class ChunkChoice(msgspec.Struct):
    """A choice of a chunk has a `delta`, of a whole answer a `message`."""

    index: int = 0
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    logprobs: Any = None


class ChatChunk(msgspec.Struct):
    """The fields that are read of a chunk or of a whole answer."""

    choices: list[ChunkChoice] = []
    usage: Any = None


CHUNK = msgspec.json.Decoder(ChatChunk)


def read_chat_chunk(data: bytes) -> ChatChunk:
    """Return the fields of a chunk or answer. Raise `ModelUnavailable` where it is none."""
    try:
        return CHUNK.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise ModelUnavailable(NOT_OPENAI) from error


def logprobs_of(found: object) -> list[Json]:
    """Return the log probabilities of a choice, which has them in an object."""
    tokens = found.get("content") if isinstance(found, dict) else None
    return tokens if isinstance(tokens, list) else []


def response_usage(counts: object) -> Json | None:
    """Return OpenAI's usage of a response for that of a chat, None where the counts are no counts.

    The details say nothing of most servers: then they are 0.
    """
    prompt, completion = token_counts(counts)
    if prompt is None or completion is None:
        return None
    assert isinstance(counts, dict)  # noqa: S101 -- else there are no counts
    read, made = counts.get("prompt_tokens_details"), counts.get("completion_tokens_details")
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": _detail(read, "cached_tokens"),
            "cache_write_tokens": _detail(read, "cache_write_tokens"),
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": _detail(made, "reasoning_tokens")},
        "total_tokens": prompt + completion,
    }


def _detail(details: object, name: str) -> int:
    found = details.get(name) if isinstance(details, dict) else None
    return found if isinstance(found, int) else 0
