"""What a model provider gives: answers as OpenAI wire bytes, with the tokens they cost.

Bytes, because a provider that already speaks the wire format is relayed without parsing its answer
again. `usage` is all that the rest of the app reads.
"""

import json
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores every character but this one."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one call cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class Progress:
    """How many tokens a call has generated so far, which counts where it never ends."""

    generated: int = 0


progress: ContextVar[Progress | None] = ContextVar("progress", default=None)
"""Where the call at work notes them, if somebody wants to know."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: `body` is the OpenAI JSON object (`chat.completion` or `list`)."""

    body: bytes
    usage: Usage

    @property
    def text(self) -> str:
        """The text of the first choice of a chat."""
        message = json.loads(self.body)["choices"][0]["message"]
        return str(message["content"] or "")


class Chunk(msgspec.Struct, frozen=True):
    """One or more whole server-sent events, each `data: {chat.completion.chunk}` and a blank line.

    `usage` is set on the chunk after which the provider knows what the call cost. Each token makes
    one: as a dataclass that takes 0.4 µs instead of 0.05.
    """

    events: bytes
    usage: Usage | None = None


class Message(BaseModel):
    """One message of a conversation; fields unknown here are kept and passed on."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(BaseModel):
    """Options of a streamed answer."""

    model_config = ConfigDict(extra="allow")

    include_usage: bool = False


class ChatRequest(BaseModel):
    """Body of `POST /v1/chat/completions`; fields unknown here are kept and passed on."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    messages: list[Message] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    max_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    max_completion_tokens: int | None = Field(default=None, ge=1, lt=2**31)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None

    @property
    def include_usage(self) -> bool:
        """Whether the caller asked for a last chunk with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class EmbeddingsRequest(BaseModel):
    """Body of `POST /v1/embeddings`; fields unknown here are kept and passed on."""

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    input: str | list[str] | list[int] | list[list[int]] = Field(min_length=1)
    encoding_format: str = Field(default="float", pattern="^(float|base64)$")
    dimensions: int | None = Field(default=None, ge=1)


class ModelCard(BaseModel):
    """One entry of `GET /v1/models`; fields unknown here are kept and passed on."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "app"


class Model(Protocol):
    """A model provider. Every method is safe for concurrent calls and stops when cancelled.

    Errors: `Unsupported` where the provider cannot honour a field that changes the answer,
    `NotFound` with code `model_not_found` for a model it does not have, `ModelError` for the rest.
    """

    async def complete(self, request: ChatRequest) -> Answer:
        """Answer a chat as a whole; `request.stream` is ignored."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer a chat as it is generated; closing the iterator stops the generation.

        The first chunk carries `delta.role`, the last one with choices a `finish_reason`. A chunk
        with usage and no choices is sent only where `request.include_usage` asks for it, but
        `Chunk.usage` is always set once. `data: [DONE]` is the caller's to write. A chunk without
        events says that the answer has begun where its first event is late.
        """
        ...

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Embed each input, in input order, in the asked-for encoding."""
        ...

    async def models(self) -> list[ModelCard]:
        """List the models that requests may name."""
        ...
