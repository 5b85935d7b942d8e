"""Any OpenAI-compatible server: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM, or this app again.

Its answers are relayed as they come; the app reads only the fields that it needs.
"""

import asyncio
from asyncio import IncompleteReadError
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from io import BytesIO

from aiohttp import (
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientTimeout,
    SocketTimeoutError,
)

from engine import deadline
from engine.errors import ModelDown, ModelError, ModelRejected, ModelTimeout
from engine.models import reading
from engine.models.interface import (
    ENCRYPTED,
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    ModelRequest,
    NativeAnswer,
    NativeChunk,
    Progress,
    ResponseChat,
    StreamOptions,
    Usage,
)
from engine.models.refusals import LONGEST_BODY, refusal_of
from engine.models.sse import BROKE_OFF, Events, ResponseEvents, ServerEvents
from engine.models.wire import Json, encode_json
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings
from engine.watch.telemetry import traceparent

END_SECONDS = 0.2
"""Wait for the end of a body whose last event has come, before the connection is given up."""

LATE_SECONDS = 5.0
"""After this time a stream that the server has opened begins for its caller too, without any event:
proxies cut silent connections. Until then an error may still have a status of its own."""

LARGE = 2**20
"""Bytes that aiohttp may write at one go; more would hold the loop."""


class OpenAI:
    """A server that speaks the wire format itself."""

    def __init__(self, settings: Settings, session: UpstreamSession, tokenizer: Tokenizer) -> None:
        url, mark, query = settings.openai_base_url.partition("?")
        self._url, self._query = url.rstrip("/"), mark + query
        self._session = session
        self._tokenizer = tokenizer
        key = settings.openai_api_key
        self._authorization = {"authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._until_deadline = ClientTimeout(sock_connect=settings.http_connect_timeout)
        self._native = settings.native_responses
        self._unreasoning: set[str] = set()
        """Models that have refused to encrypt their reasoning."""

    async def complete(self, request: ChatRequest, _so_far: Progress | None = None) -> Answer:
        """Relay a whole answer."""
        if self._native and isinstance(request, ResponseChat):
            return await self._respond(request)
        path, sent = request.sent()
        whole = sent.model_copy(update={"stream": False})
        asked = whole.model_dump_json(exclude_unset=True, exclude={"stream_options"})
        body, fields = reading.read_chat(await self._whole(path, asked))
        prompt, completion = reading.token_counts(fields.usage)
        if completion is None:
            completion = await self._tokenizer.count(reading.answer_text(body))
        return Answer(body, await self._usage(prompt, completion, request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Relay the server's events."""
        asking, events, chunk_of = self._streamed(request)
        async with asking as response:
            late_at = asyncio.get_running_loop().time() + LATE_SECONDS
            piece = await _first(response)
            try:
                while piece != b"":
                    if piece and events.takes(piece):
                        yield chunk_of(piece)
                    else:
                        for block in events.feed(piece or b""):
                            yield chunk_of(block)
                        if events.done:
                            break
                        if not events.begun and asyncio.get_running_loop().time() < late_at:
                            piece = await _first(response)
                            continue
                        if not events.begun:
                            events.begun = True
                            yield Chunk(b"")
                    piece = await response.content.readany()
            except ClientPayloadError:
                if not events.complete:  # else it broke off after all that there was to say
                    raise
            for block in events.end():
                yield chunk_of(block)
            prompt, completion = reading.token_counts(events.usage)
            generated = events.generated if completion is None else completion
            yield Chunk(b"", await self._usage(prompt, generated, request))
            await _read_to_end(response)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Relay embeddings."""
        asked = request.model_dump_json(exclude_unset=True)
        body, fields = reading.read_embeddings(await self._whole("/embeddings", asked))
        prompt, completion = reading.token_counts(fields.usage)
        return Answer(body, await self._usage(prompt, completion or 0, request))

    async def models(self) -> list[ModelCard]:
        """Ask the server for its models."""
        async with self._ask("GET", "/models", None, self._session.timeout) as response:
            return reading.read_cards(await response.read())

    async def _whole(self, path: str, asked: str) -> bytes:
        """Return the body of an answer, which may be silent for as long as the request has time."""
        async with self._ask("POST", path, asked, self._until_deadline) as response:
            return await response.read()

    def _streamed(
        self, request: ChatRequest
    ) -> tuple[AbstractAsyncContextManager[ClientResponse], ServerEvents, type[Chunk]]:
        """Return the call, its reader and its chunks. Usage is always asked for, to be counted."""
        if self._native and isinstance(request, ResponseChat):
            asking = self._ask_native(request, self._session.timeout, stream=True)
            return asking, ResponseEvents(), NativeChunk
        options = request.stream_options or StreamOptions()
        counted = options.model_copy(update={"include_usage": True})
        path, sent = request.sent()
        streamed = sent.model_copy(update={"stream": True, "stream_options": counted})
        asked = streamed.model_dump_json(exclude_unset=True)
        asking = self._ask("POST", path, asked, self._session.timeout)
        return asking, Events(request.n or 1, usage_wanted=request.include_usage), Chunk

    async def _respond(self, request: ResponseChat) -> Answer:
        async with self._ask_native(request, self._until_deadline, stream=False) as response:
            body, fields = reading.read_response(await response.read())
        prompt, completion = reading.token_counts(fields.usage)
        if completion is None:
            completion = await self._tokenizer.count(body.decode())
        return NativeAnswer(body, await self._usage(prompt, completion, request))

    async def _usage(self, prompt: int | None, completion: int, request: ModelRequest) -> Usage:
        if prompt is None:
            prompt = await self._tokenizer.count(request.model_dump_json(exclude_unset=True))
        return Usage(prompt, completion)

    @asynccontextmanager
    async def _ask_native(
        self, request: ResponseChat, timeout: ClientTimeout, *, stream: bool
    ) -> AsyncIterator[ClientResponse]:
        """Give the server's good response.

        The server is asked again without encrypted reasoning where its model has none, or where it
        cannot read another server's.
        """
        body = {**request.response(), "model": request.model, "stream": stream}
        if request.model in self._unreasoning:
            body = _without_encrypted(body)
        async with AsyncExitStack() as stack:

            async def ask(body: Json) -> ClientResponse:
                asked = self._ask("POST", "/responses", encode_json(body).decode(), timeout)
                return await stack.enter_async_context(asked)

            try:
                response = await ask(body)
            except ModelRejected as error:
                if "ncrypted" not in f"{error.code} {error.message}":
                    raise
                response = await ask(_without_encrypted(body))
                if error.param == "include":
                    self._unreasoning.add(request.model)
            yield response

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: str | None, timeout: ClientTimeout
    ) -> AsyncIterator[ClientResponse]:
        """Give the server's good response; leaving it early closes the connection."""
        headers = {"content-type": "application/json", **self._authorization}
        if trace := traceparent.get():
            headers["traceparent"] = trace
        if (left := deadline.remaining()) is not None:
            headers["x-request-timeout"] = f"{max(left, 0.001):.3f}"
        try:
            async with self._session.request(
                method,
                self._url + path + self._query,
                data=_payload(body),
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status >= 300:
                    raise refusal_of(response.status, response.headers, await _beginning(response))
                yield response
        except (ClientError, TimeoutError) as error:
            deadline.remaining()  # the caller's time, and not the server, has failed
            raise _fault(error) from error


def _without_encrypted(body: Json) -> Json:
    included = [each for each in body["include"] if each != ENCRYPTED]
    items = [item for item in body["input"] if "encrypted_content" not in item]
    return {**body, "include": included, "input": items}


def _fault(error: Exception) -> ModelError:
    if isinstance(error, SocketTimeoutError):
        return ModelTimeout("The model server was silent for too long.")
    if isinstance(error, ClientPayloadError):
        return ModelDown(BROKE_OFF)
    return ModelDown(f"The model server cannot be reached: {type(error).__name__}.")


def _payload(body: str | None) -> BytesIO | str | None:
    return BytesIO(body.encode()) if body and len(body) > LARGE // 4 else body


async def _beginning(response: ClientResponse) -> bytes:
    """Return the start of a refusal's body; its status says enough if no body comes."""
    try:
        return await response.content.readexactly(LONGEST_BODY)
    except IncompleteReadError as error:
        return error.partial
    except (ClientError, TimeoutError):
        return b""


async def _first(response: ClientResponse) -> bytes | None:
    """Return the first piece of a stream, None where it is late."""
    late = asyncio.timeout(LATE_SECONDS)
    try:
        async with late:
            return await response.content.readany()
    except TimeoutError:
        if late.expired():
            return None
        raise


async def _read_to_end(response: ClientResponse) -> None:
    """Read the end of the body, without which the connection cannot be used again."""
    with suppress(ClientError, TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await response.read()


@asynccontextmanager
async def open_provider(
    settings: Settings, session: UpstreamSession, tokenizer: Tokenizer
) -> AsyncIterator[OpenAI]:
    """Yield the server of `openai_base_url`. It is asked at the first call, not now."""
    yield OpenAI(settings, session, tokenizer)
