"""Any OpenAI-compatible server: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM, or this app again.

Its answers are relayed as they come; only what must be known of them is read.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import BytesIO

import msgspec
from aiohttp import ClientError, ClientResponse
from pydantic import BaseModel, ValidationError

from app import deadline
from app.errors import ModelDown, ModelUnavailable
from app.resources.http import Http
from app.resources.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    StreamOptions,
    Usage,
)
from app.resources.models.refusals import Detail, refusal
from app.resources.tokenizer import Tokenizer
from app.settings import Settings
from app.telemetry import traceparent

END = b"\n\n"
DONE = b"[DONE]"
END_SECONDS = 0.2
"""Wait for the end of a body whose last event has come, before the connection is given up."""

LARGE = 2**20
"""Bytes that aiohttp writes at one go; it would hold the loop for more."""


NOT_OPENAI = "The model server's answer is not in OpenAI's format: check OPENAI_BASE_URL."


class ModelList(BaseModel):
    """What is read of `GET /models`."""

    data: list[ModelCard]


class UsageFields(msgspec.Struct):
    """What is read of `usage`."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Fields(msgspec.Struct):
    """What is read of an answer or a chunk."""

    usage: UsageFields | None = None
    choices: list[msgspec.Raw] = []
    error: Detail | str | None = None


FIELDS = msgspec.json.Decoder(Fields)


class OpenAI:
    """A server that speaks the wire format itself."""

    def __init__(self, settings: Settings, http: Http) -> None:
        url, mark, query = settings.openai_base_url.partition("?")
        self._url, self._query = url.rstrip("/"), mark + query
        self._http = http
        key = settings.openai_api_key
        self._authorization = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}

    async def complete(self, request: ChatRequest) -> Answer:
        """Relay a whole answer."""
        whole = request.model_copy(update={"stream": False})
        body = whole.model_dump_json(exclude_unset=True, exclude={"stream_options"})
        return await self._answer("/chat/completions", body)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Relay the server's events. The usage is always asked for, since it is counted."""
        options = request.stream_options or StreamOptions()
        counted = options.model_copy(update={"include_usage": True})
        streamed = request.model_copy(update={"stream": True, "stream_options": counted})
        body = streamed.model_dump_json(exclude_unset=True)
        usage = Usage()
        async with self._ask("POST", "/chat/completions", body) as response:
            async for block in _blocks(response):
                if _is_chunk(block) or all(map(_is_chunk, _events(block))):
                    yield Chunk(block)
                    continue
                for event in _events(block):
                    data = _data(event)
                    if data == DONE:
                        yield Chunk(b"", usage)
                        await _read_to_end(response)
                        return
                    fields = _read(data)
                    usage = _usage(fields) or usage
                    wanted = fields.choices or not fields.usage or request.include_usage
                    if data and wanted:
                        yield Chunk(b"data: " + data + END)
        raise ModelUnavailable("The model server broke off its answer.")

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Relay embeddings."""
        return await self._answer("/embeddings", request.model_dump_json(exclude_unset=True))

    async def models(self) -> list[ModelCard]:
        """Ask the server for its models."""
        async with self._ask("GET", "/models") as response:
            body = await response.read()
        try:
            return ModelList.model_validate_json(body).data
        except ValidationError as error:
            raise ModelUnavailable(NOT_OPENAI) from error

    async def _answer(self, path: str, request: str) -> Answer:
        async with self._ask("POST", path, request) as response:
            body = await response.read()
        return Answer(body, _usage(_read(body)) or Usage())

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: str | None = None
    ) -> AsyncIterator[ClientResponse]:
        """Give the server's good response; leaving it early closes the connection."""
        headers = {"content-type": "application/json", **self._authorization}
        if trace := traceparent.get():
            headers["traceparent"] = trace
        if (left := deadline.remaining()) is not None:
            headers["x-request-timeout"] = f"{max(left, 0.001):.3f}"
        try:
            async with self._http.request(
                method,
                self._url + path + self._query,
                data=_payload(body),
                headers=headers,
            ) as response:
                if response.status >= 400:
                    raise refusal(response.status, response.headers, await response.read())
                yield response
        except (ClientError, TimeoutError) as error:
            deadline.remaining()  # the caller's time, and not the server, has failed
            reason = f"The model server cannot be reached: {type(error).__name__}."
            raise ModelDown(reason) from error


def _payload(body: str | None) -> BytesIO | str | None:
    return BytesIO(body.encode()) if body and len(body) > LARGE // 4 else body


async def _blocks(response: ClientResponse) -> AsyncIterator[bytes]:
    """Yield what has come, cut after the last whole event."""
    rest = b""
    async for data in response.content.iter_any():
        block, end, rest = (rest + data.replace(b"\r", b"")).rpartition(END)
        if end:
            yield block + end


async def _read_to_end(response: ClientResponse) -> None:
    """Read what ends the body, without which the connection cannot be used again."""
    with suppress(ClientError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await response.read()


def _events(block: bytes) -> list[bytes]:
    return block.removesuffix(END).split(END)


def _is_chunk(event: bytes) -> bool:
    """Say whether an event is a chunk that says nothing of the usage or an error."""
    if not event.startswith(b"data:"):
        return False
    try:
        fields = FIELDS.decode(event[5:])
    except msgspec.MsgspecError:
        return False  # not JSON alone: several events, or one with an id
    return fields.usage is None and fields.error is None


def _data(event: bytes) -> bytes:
    lines = [line for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"".join(line.removeprefix(b"data:").strip() for line in lines)


def _read(data: bytes) -> Fields:
    try:
        fields = FIELDS.decode(data or b"{}")
    except msgspec.MsgspecError as error:
        raise ModelUnavailable(NOT_OPENAI) from error
    if fields.error is not None:
        raise refusal(500, {}, data)
    return fields


def _usage(fields: Fields) -> Usage | None:
    used = fields.usage
    return Usage(used.prompt_tokens, used.completion_tokens) if used else None


@asynccontextmanager
async def open_provider(
    settings: Settings, http: Http, _tokenizer: Tokenizer
) -> AsyncIterator[OpenAI]:
    """Yield the server of `openai_base_url`. It is asked at the first call, not now."""
    yield OpenAI(settings, http)
