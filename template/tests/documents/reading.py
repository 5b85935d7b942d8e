"""Reads documents in the child, as ingestion does."""

import asyncio
import io
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.documents.child import ChildLimits, DocumentError, extract_chunks
from engine.documents.extract.chunks import ChunkStrategy
from engine.documents.extract.messages import ExtractedChunk

WHOLE = ChunkStrategy()


class Refusal(NamedTuple):
    code: str | None
    message: str


async def read(
    data: bytes | Iterable[bytes],
    filename: str,
    strategy: ChunkStrategy = WHOLE,
    limits: ChildLimits | None = None,
) -> list[ExtractedChunk]:
    """Return the chunks of a document."""
    with tempfile.TemporaryFile() as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        file.seek(0, io.SEEK_SET)
        async with extract_chunks(file, filename, strategy, limits or ChildLimits()) as chunks:
            return [chunk async for chunk in chunks]


async def refused(
    data: bytes | Iterable[bytes], filename: str, limits: ChildLimits | None = None
) -> Refusal:
    """Return why a document is not read."""
    try:
        await read(data, filename, limits=limits)
    except DocumentError as error:
        return Refusal(error.code, error.message)
    raise AssertionError(f"{filename} was read")


def text_of(chunks: Iterable[ExtractedChunk]) -> str:
    """Return the text without what chunks repeat."""
    return "".join(chunk.text[chunk.repeated :] for chunk in chunks)


async def until(holds: Callable[[], object], limit: float = 30.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(limit):
        while not holds():  # noqa: ASYNC110 -- nothing tells of it
            await asyncio.sleep(0.01)
