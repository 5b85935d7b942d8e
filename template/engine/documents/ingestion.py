"""Ingestion: a job for each file in a store, which reads it, cuts it and embeds it.

Two steps, each with a key that refuses a second copy: chunks by their position, then pages of
vectors by the position of their first chunk. So a killed worker repeats one group at most, and
chunks and vectors are those of an undisturbed run. A search reads completed files only.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from tempfile import TemporaryFile
from typing import BinaryIO, cast

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.batches.files import read_part
from engine.documents.child import ChildLimits, DocumentError, extract_chunks
from engine.documents.embedding import embed_pages, held_file, remove_pages_outside
from engine.documents.extract.chunks import VERSION, ChunkStrategy
from engine.documents.extract.messages import ExtractedChunk
from engine.documents.quotas import EXCEEDED, chunks_of
from engine.documents.removal import remove_chunks, submit_removal
from engine.documents.resource import documents_of
from engine.documents.space import Space, space_named
from engine.documents.tables import (
    DocumentChunkRow,
    StoreFileRow,
    VectorStoreRow,
)
from engine.documents.words import scope_of
from engine.jobs.jobs import Job
from engine.jobs.runs import Run, allow_all_tries, announce_end, require_run
from engine.models.wire import encode_json
from engine.process.queue import Kind
from engine.settings.documents import OptionSettings
from engine.sql.tables import JobRow

GROUP = 32
"""Chunks of one transaction. With a pause as long as each took, another writer on SQLite waited 21
ms (99th percentile). With groups of 128 and no pause it waited 64 ms."""

LIBRARIES = ("bpe-openai", "pypdfium2")
"""Libraries that decide where a chunk ends, beside the rules here."""

CODES = ("unsupported_file", "invalid_file")
FAILED = "The file could not be ingested now. Remove it from the store and attach it anew."


class IngestSubject(BaseModel):
    """Subject of the job: the file in the store, and the ids by which its caller knows both."""

    store_file_id: str
    vector_store_id: str
    file_id: str


@dataclass(frozen=True, slots=True)
class Ingestion:
    """A file that is to be ingested."""

    id: str
    caller_id: str
    file_id: str
    filename: str
    strategy: ChunkStrategy
    recipe: str
    space: Space
    chunks: int
    extracted: bool


async def ingest(run: Run, subject: IngestSubject) -> None:
    """Ingest a file, or do nothing where it has been or is gone."""
    write, began = run.resources.database.write, time.monotonic()
    while await write(remove_other_recipe, run, subject.store_file_id):
        await asyncio.sleep(time.monotonic() - began)
        began = time.monotonic()
    file = await run.resources.database.write(begin_ingestion, run, subject.store_file_id)
    if file is None:
        return
    chunks = file.chunks if file.extracted else await _extract(run, file)
    embedded, space = None, file.space
    while embedded != space:
        await embed_pages(run, file.id, space, chunks)
        embedded = space
        space = await run.resources.database.write(finish_ingestion, run, file.id, embedded)


def ingestion_ended(session: Session, job: JobRow) -> None:
    """Give a file its status as its job ends otherwise: failed, cancelled, late or crashed."""
    row = session.get(StoreFileRow, IngestSubject.model_validate(job.subject).store_file_id)
    if row is not None and row.status == "in_progress" and job.status != "succeeded":
        known = job.error_code in CODES
        error = {
            "code": job.error_code if known else "server_error",
            "message": job.error_message if known else FAILED,
        }
        row.status = "cancelled" if job.status == "cancelled" else "failed"
        row.error = None if row.status == "cancelled" else encode_json(error)
        row.chunks = row.usage_bytes = 0
        submit_removal(session, row.caller_id, row.store_id, job.request_id)
    announce_end(session, job)


INGEST: Job[IngestSubject] = Job(
    "ingest_document",
    IngestSubject,
    ingest,
    submittable=False,
    ended=ingestion_ended,
    pool=Kind.DOCUMENTS,
)


def remove_other_recipe(session: Session, run: Run, store_file_id: str) -> bool:
    """Remove some chunks that another recipe has made; return whether there were any."""
    row = session.get(StoreFileRow, store_file_id)
    if row is None or row.status != "in_progress":
        return False
    require_run(session, run.id, run.owner)
    if row.recipe in (None, recipe_of(ChunkStrategy(*msgspec.json.decode(row.strategy)))):
        return False
    return bool(remove_chunks(session, StoreFileRow.id == row.id))


def begin_ingestion(session: Session, run: Run, store_file_id: str) -> Ingestion | None:
    """Return what is to be done, None for nothing; no chunks of another recipe are left."""
    row = session.get(StoreFileRow, store_file_id)
    if row is None or row.status != "in_progress":
        return None
    require_run(session, run.id, run.owner)
    strategy = ChunkStrategy(*msgspec.json.decode(row.strategy))
    recipe = recipe_of(strategy)
    if row.recipe != recipe:
        row.recipe, row.chunks, row.extracted, row.usage_bytes = recipe, 0, False, 0
    store = session.get_one(VectorStoreRow, row.store_id)
    return Ingestion(
        id=row.id,
        caller_id=row.caller_id,
        file_id=row.file_id,
        filename=row.filename,
        strategy=strategy,
        recipe=recipe,
        space=space_named(store.space),
        chunks=row.chunks,
        extracted=row.extracted,
    )


async def _extract(run: Run, file: Ingestion) -> int:
    """Write the chunks of a file behind those of an earlier attempt; return how many there are."""
    settings = documents_of(run.resources).settings
    limits = ChildLimits(
        memory=settings.document_memory,
        seconds=settings.document_cpu_seconds,
        wall=settings.document_seconds,
        chunks=settings.document_chunks_per_caller,
    )
    written, group = 0, list[ExtractedChunk]()
    writing = ChunkWriting(run, file, settings)
    async with (
        private_copy(run, file) as copy,
        extract_chunks(copy, file.filename, file.strategy, limits) as chunks,
    ):
        async for chunk in chunks:
            written += 1
            if written > file.chunks:
                group.append(chunk)
            if len(group) == GROUP:
                await writing.write(written - GROUP, group)
                group = []
    await writing.write(written - len(group), group, whole=True)
    return written


@dataclass(frozen=True, slots=True)
class ChunkWriting:
    """Writes the chunks of a file, group by group."""

    run: Run
    file: Ingestion
    settings: OptionSettings

    async def write(
        self, first: int, group: Sequence[ExtractedChunk], *, whole: bool = False
    ) -> None:
        """Write chunks from the position `first`; pause as long as that took."""
        began = time.monotonic()
        write = self.run.resources.database.write
        most = self.settings.document_chunks_per_caller
        await write(write_group, self.run, self.file, first, group, most=most, whole=whole)
        await self.run.report(step="extract", chunks=first + len(group))
        await asyncio.sleep(time.monotonic() - began)


def write_group(
    session: Session,
    run: Run,
    file: Ingestion,
    first: int,
    group: Sequence[ExtractedChunk],
    *,
    most: int,
    whole: bool,
) -> None:
    """Write one group. Raise `LostRunError` where another worker has the job, or it is cancelled.

    Raise `DocumentError` where the caller has too many chunks.
    """
    row = held_file(session, run, file.id)
    if chunks_of(session, file.caller_id) + len(group) > most:
        raise DocumentError("invalid_file", EXCEEDED.format(most=most, things="chunks"))
    session.add_all(
        DocumentChunkRow(
            store_file_id=file.id, scope=scope_of(row.store_id), seq=seq, **chunk._asdict()
        )
        for seq, chunk in enumerate(group, first)
    )
    row.chunks, row.extracted = first + len(group), whole
    row.usage_bytes += sum(len(chunk.text.encode()) for chunk in group)
    allow_all_tries(session, run.id)


def finish_ingestion(session: Session, run: Run, store_file_id: str, embedded: Space) -> Space:
    """Let searches read a file, unless its store has got another space; return the store's.

    The end of the job is recorded after this, and repeats nothing.
    """
    row = held_file(session, run, store_file_id)
    store = session.get_one(VectorStoreRow, row.store_id, with_for_update=True)
    if store.space == embedded.name:
        row.status = "completed"
        session.flush()
        remove_pages_outside(session, StoreFileRow.id == row.id, store.space, row.chunks)
    return space_named(store.space)


@asynccontextmanager
async def private_copy(run: Run, file: Ingestion) -> AsyncIterator[BinaryIO]:
    """Yield a copy of a file without a name on the disk, read as its caller."""
    in_thread = run.resources.offload.in_thread
    copy = cast("BinaryIO", await in_thread(TemporaryFile))
    try:
        position: int | None = 0
        while position is not None:
            part = await run.resources.database.read(
                read_part, file.caller_id, file.file_id, position
            )
            await in_thread(copy.write, part.data)
            position = part.position
        await in_thread(_rewind, copy)
        yield copy
    finally:
        await in_thread(copy.close)


def _rewind(copy: BinaryIO) -> None:
    copy.flush()
    copy.seek(0)


def recipe_of(strategy: ChunkStrategy) -> str:
    """Return the same text for the same chunks: reading and packing have no chance in them."""
    libraries = ", ".join(f"{name} {_version(name)}" for name in LIBRARIES)
    return f"{strategy.max_tokens}/{strategy.overlap}, rules {VERSION}, {libraries}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
