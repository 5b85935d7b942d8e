"""The space of a store's vectors: a model and a width. Vectors of two spaces never meet."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelUnavailable
from engine.models.interface import EmbeddingsRequest
from engine.models.reading import NO_JSON, NOT_OPENAI
from engine.models.wire import Json
from engine.operations.bound_model import BoundModel
from engine.settings.documents import OptionSettings

OWN_MODELS = {
    "local": "wordllama-256",
    "openai": "text-embedding-3-small",
    "simulated": "simulated-embeddings",
}
"""The embedding model of each provider."""

TEXTS = 128
TOKENS = 100_000
"""Most of one call. OpenAI takes 300,000 tokens; other servers less."""

MISFIT = "The embedding model {model} gave {found}, not {wanted}. Check DOCUMENT_DIMENSIONS."

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Space:
    """A model, and the width of its vectors; unless `shortened` that is the model's own."""

    model: str
    dimensions: int
    shortened: bool

    @property
    def name(self) -> str:
        """The name that a store keeps."""
        return f"{self.model}/{self.dimensions}" + ("" if self.shortened else "/whole")


def space_of(settings: OptionSettings, provider: str) -> Space:
    """Return the space of new stores."""
    model = settings.document_model or OWN_MODELS.get(provider, OWN_MODELS["openai"])
    return Space(model, settings.document_dimensions, settings.document_shortened)


def space_named(name: str) -> Space:
    """Return the space that a store has kept."""
    whole = name.removesuffix("/whole")
    model, _, dimensions = whole.rpartition("/")
    return Space(model, int(dimensions), shortened=whole == name)


async def embed_texts(model: BoundModel, space: Space, texts: Sequence[str]) -> Vectors:
    """Return a vector of length 1 for each text, as the rows of an array of float32.

    Raise `ModelUnavailable` for vectors that are too few, of another width or not finite.
    """
    in_thread = model.resources.offload.in_thread
    parts = []
    for part in _calls(texts):
        request = EmbeddingsRequest(
            model=space.model,
            input=part,
            encoding_format="base64",
            dimensions=space.dimensions if space.shortened else None,
        )
        answer = await model.embed(request)
        parts.append(await in_thread(read_vectors, answer.body, space, len(part)))
    return np.concatenate(parts)


def read_vectors(body: bytes, space: Space, count: int) -> Vectors:
    """Return the vectors of an answer, each of length 1."""
    try:
        data: list[Json] = msgspec.json.decode(body)["data"]
        rows = [_row(each["embedding"]) for each in sorted(data, key=lambda each: each["index"])]
        widths = {len(row) for row in rows}
    except (*NO_JSON, KeyError, TypeError, ValueError) as error:
        raise ModelUnavailable(NOT_OPENAI) from error
    if len(rows) != count or widths != {space.dimensions}:
        found = f"{len(rows)} vectors of {sorted(widths)} numbers"
        wanted = f"{count} of {space.dimensions}"
        raise ModelUnavailable(MISFIT.format(model=space.model, found=found, wanted=wanted))
    vectors = np.stack(rows)
    if not np.isfinite(vectors).all():
        found, wanted = "numbers that are not finite", "vectors"
        raise ModelUnavailable(MISFIT.format(model=space.model, found=found, wanted=wanted))
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: Vectors = (vectors / np.maximum(lengths, 1e-12)).astype("<f4")
    return normal


def _row(embedding: str | list[float]) -> Vectors:
    if isinstance(embedding, str):
        return np.frombuffer(base64.b64decode(embedding), dtype="<f4")
    return np.array(embedding, dtype="<f4")  # of a server that knows no base64


def _calls(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts of one call each. A token has 3 bytes at least, almost always."""
    part: list[str] = []
    tokens = 0
    for text in texts:
        weight = len(text.encode()) // 3
        if part and (len(part) == TEXTS or tokens + weight > TOKENS):
            yield part
            part, tokens = [], 0
        part.append(text)
        tokens += weight
    if part:
        yield part
