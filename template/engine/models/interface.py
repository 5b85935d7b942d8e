"""Interface of model providers: answers as OpenAI wire bytes, with the tokens that they cost.

Bytes, because a provider that already speaks the wire format is relayed without parsing its answer
again. `usage` is all that the rest of the app reads.
"""

import json
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from engine.body import NO_NUL, Body


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one call cost."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        prompt = self.prompt_tokens + other.prompt_tokens
        return Usage(prompt, self.completion_tokens + other.completion_tokens)


@dataclass(slots=True)
class Progress:
    """Tokens that a call has generated so far, which count where the call never ends."""

    generated: int = 0


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

    `usage` is set on the chunk after which the provider knows the cost of the call. A struct, since
    each token makes a chunk: a dataclass would take 0.4 µs instead of 0.05.
    """

    events: bytes
    usage: Usage | None = None


class NativeAnswer(Answer):
    """A whole answer to a `ResponseChat` of a server that speaks Responses: its `response`."""


class NativeChunk(Chunk, frozen=True):
    """Events of such a server, without the first ones, which say only that it has begun."""


Count = Annotated[int, Field(ge=1, lt=2**31)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Stop = str | list[str]


class Part(BaseModel):
    """An object in a body; fields unknown here are kept and passed on."""

    model_config = ConfigDict(extra="allow")


class Message(Part):
    """One message of a conversation."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(Part):
    """Options of a streamed answer."""

    include_usage: bool = False


class Function(Part):
    """A function that the model may call."""

    name: str
    parameters: dict[str, Any] = {}


class Tool(Part):
    """A tool that the model may use."""

    type: str = "function"
    function: Function | None = None


class ResponseFormat(Part):
    """The format that the answer's text must have."""

    type: str
    json_schema: dict[str, Any] | None = None


class ModelRequest(Body):
    """Fields of all bodies of calls to a model; fields unknown here are kept and passed on.

    All fields of OpenAI's clients are named, so that a value of the wrong type is found here.
    """

    model_config = ConfigDict(extra="allow")

    model: str = Field(min_length=1, max_length=200, pattern=NO_NUL)
    user: str | None = None


class Generation(ModelRequest):
    """Fields that a chat and a completion have in common."""

    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    max_tokens: Count | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    frequency_penalty: Penalty | None = None
    presence_penalty: Penalty | None = None
    logit_bias: dict[str, int | float] | None = None
    stop: Stop | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)

    @property
    def include_usage(self) -> bool:
        """Whether the caller asked for a last chunk with the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatRequest(Generation):
    """Body of `POST /v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1)
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    tools: list[Tool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[Function] | None = None
    function_call: str | dict[str, Any] | None = None
    response_format: ResponseFormat | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None
    prediction: dict[str, Any] | None = None
    web_search_options: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None

    def sent(self) -> tuple[str, Generation]:
        """Return the path and the body of this for a server that speaks OpenAI's format."""
        return "/chat/completions", self


class CompletionRequest(Generation):
    """Body of `POST /v1/completions`: one prompt or several, as texts or token ids."""

    prompt: str | list[str] | list[int] | list[list[int]] = Field(min_length=1)
    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = Field(default=None, ge=1, le=20)
    logprobs: int | None = Field(default=None, ge=0, le=5)


class Continuation(ChatRequest):
    """A completion's prompt as a chat, for providers that know nothing else."""

    completion: CompletionRequest = Field(exclude=True)

    def sent(self) -> tuple[str, Generation]:
        """Return the completion itself."""
        return "/completions", self.completion.model_copy(update={"model": self.model})


ENCRYPTED = "reasoning.encrypted_content"
"""The addition to a response with which a server can read its own reasoning again."""


class ResponseChat(ChatRequest):
    """A request for a response as a chat, for providers that know nothing else."""

    response: Callable[[], dict[str, Any]] = Field(exclude=True)
    """Gives the body for a server that speaks Responses, without its model and `stream`."""
    refusal: Any = Field(default=None, exclude=True)
    """The `AppError` of a request that no chat can express."""


class EmbeddingsRequest(ModelRequest):
    """Body of `POST /v1/embeddings`."""

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


FINE_TUNED = "ft:"
"""OpenAI's prefix of the names of fine-tuned models."""


class Model(Protocol):
    """A model provider. Every method is safe for concurrent calls and stops when cancelled.

    Errors: `Unsupported` where the provider cannot honour a field that changes the answer,
    `NotFound` with code `model_not_found` for a model it does not have, `ModelError` for the rest.
    """

    async def complete(self, request: ChatRequest, so_far: Progress | None = None, /) -> Answer:
        """Answer a chat as a whole; `request.stream` is ignored.

        A provider that generates the answer itself notes in `so_far` how far it is.
        """
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
