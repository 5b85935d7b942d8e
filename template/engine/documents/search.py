"""Search in a vector store: exact by vectors, by words beside it, fused by rank.

Each search goes from the caller to the store, from the store to its files and from these to chunks:
another's store is not found, and nothing of it is read.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import and_, false, or_, select
from sqlalchemy.orm import Session

from engine.documents import ownership
from engine.documents.embedding import PAGE
from engine.documents.filters import FileFilter, read_filter
from engine.documents.fusion import TEXT_WEIGHT, fuse_ranks
from engine.documents.pages import PagePlace, Similarities, read_pages
from engine.documents.resource import documents_of
from engine.documents.space import Space, Vectors, embed_texts, space_named
from engine.documents.tables import DocumentChunkRow, StoreFileRow, VectorPageRow, VectorStoreRow
from engine.documents.words import ChunkKey, find_by_words
from engine.operations.bound_model import BoundModel

CANDIDATES = 50
"""Chunks of each ranking that are fused: the most results that a search may ask for."""

TOUCHED = 60.0
"""Seconds between two notes that a store is in use: a search is no write."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found. `score` is the cosine, from 0 to 1; the order is the fused rank."""

    file_id: str
    filename: str
    attributes: dict[str, Any]
    score: float
    text: str
    seq: int
    page: int | None


@dataclass(frozen=True, slots=True)
class SearchedFile:
    """A file that a search reads."""

    id: str
    filename: str
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a search reads of a store: its last use, its files, their pages, chunks by words."""

    space: Space
    used_at: float
    files: dict[str, SearchedFile]
    places: list[PagePlace]
    pages: dict[int, Vectors]
    by_words: list[list[ChunkKey]]


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a search ranks. Weights are those of vectors and of words."""

    threshold: float = 0.0
    weights: tuple[float, float] = (1.0, TEXT_WEIGHT)


async def search_store(
    model: BoundModel,
    store_id: str,
    queries: Sequence[str],
    *,
    filters: object = None,
    most: int = 10,
    ranking: Ranking | None = None,
) -> list[Hit]:
    """Return the best chunks of a store of the model's caller, the best first.

    Raise `NotFound` for a store that this caller has not, `InvalidRequest` for one that has expired
    or for malformed `filters`.
    """
    ranking = ranking or Ranking()
    wanted = read_filter(filters) if filters is not None else None
    plan, vectors = await _planned(model, store_id, queries, wanted, ranking)
    in_thread = model.resources.offload.in_thread
    found = await in_thread(rank_chunks, plan, vectors, ranking)
    best = [(key, score) for key, score in found if score >= ranking.threshold][:most]
    texts = await model.resources.database.read(read_chunks, [key for key, _ in best])
    return [
        Hit(file.id, file.filename, file.attributes, score, *texts[key])
        for key, score in best
        if key in texts
        for file in (plan.files[key.store_file_id],)
    ]


async def _planned(
    model: BoundModel,
    store_id: str,
    queries: Sequence[str],
    wanted: FileFilter | None,
    ranking: Ranking,
) -> tuple[Plan, Vectors]:
    """Return the plan and the queries' vectors, of one space: a store may change it meanwhile."""
    database, caller_id = model.resources.database, model.caller_id
    documents = documents_of(model.resources)
    rows = documents.settings.keyword_rows if ranking.weights[1] else 0
    space = await database.read(space_of_store, caller_id, store_id)
    while True:
        vectors = await embed_texts(model, space, queries)
        plan = await database.read(
            plan_search,
            caller_id,
            store_id,
            queries,
            wanted=wanted,
            keyword_rows=rows,
            in_memory=documents.pages.all(),
        )
        if plan.space == space:
            documents.pages.keep(plan.pages)
            if plan.used_at < time.time() - TOUCHED:
                await database.write(touch, caller_id, store_id)
            return plan, vectors
        space = plan.space


def space_of_store(session: Session, caller_id: str, store_id: str) -> Space:
    """Return the space of a store that can be searched."""
    return space_named(ownership.find_usable_store(session, caller_id, store_id).space)


def touch(session: Session, caller_id: str, store_id: str) -> None:
    """Note that a store is in use."""
    ownership.touch_store(ownership.find_store(session, caller_id, store_id))


def plan_search(
    session: Session,
    caller_id: str,
    store_id: str,
    queries: Sequence[str],
    *,
    wanted: FileFilter | None = None,
    keyword_rows: int = 0,
    in_memory: Mapping[int, Vectors] | None = None,
) -> Plan:
    """Return what a search reads, of one snapshot: completed files that meet the filter.

    Pages that are not in memory are read here: a moment later they may be removed.
    """
    store = ownership.find_usable_store(session, caller_id, store_id)
    space, files = space_named(store.space), _files(session, store, wanted)
    places = _places(session, store, files)
    known = in_memory or {}
    pages = {place.id: known[place.id] for place in places if place.id in known}
    missing = [place.id for place in places if place.id not in pages]
    pages |= read_pages(session, missing, space.dimensions)
    by_words = [
        find_by_words(session, store.id, list(files), query, rows=keyword_rows, limit=CANDIDATES)
        for query in queries
        if keyword_rows
    ]
    return Plan(space, store.last_active_at, files, places, pages, by_words)


def rank_chunks(plan: Plan, vectors: Vectors, ranking: Ranking) -> list[tuple[ChunkKey, float]]:
    """Return the chunks of all rankings, fused, each with its cosine to the nearest query."""
    similar = [Similarities(plan.places, plan.pages, vector) for vector in vectors]
    by_vectors = [each.best(CANDIDATES) for each in similar]
    fused = fuse_ranks(
        [
            *((ranking.weights[0], keys) for keys in by_vectors),
            *((ranking.weights[1], keys) for keys in plan.by_words),
        ]
    )
    return [(key, _score(similar, key)) for key in fused]


def read_chunks(
    session: Session, keys: Sequence[ChunkKey]
) -> dict[ChunkKey, tuple[str, int, int | None]]:
    """Return text, position and page of chunks."""
    row = DocumentChunkRow
    # SQLite reads the whole table for `(store_file_id, seq) IN (…)`.
    wanted = [and_(row.store_file_id == file_id, row.seq == seq) for file_id, seq in keys]
    statement = select(row.store_file_id, row.seq, row.text, row.page)
    found = session.execute(statement.where(or_(false(), *wanted)))
    return {ChunkKey(each[0], each[1]): (each[2], each[1], each[3]) for each in found}


def _score(similar: Sequence[Similarities], key: ChunkKey) -> float:
    return min(1.0, max(0.0, *(each.of(key, PAGE) for each in similar)))


def _files(
    session: Session, store: VectorStoreRow, wanted: FileFilter | None
) -> dict[str, SearchedFile]:
    row = StoreFileRow
    columns = row.id, row.file_id, row.filename, row.attributes
    of_store = row.store_id == store.id, row.status == "completed"
    found = {}
    for row_id, file_id, filename, attributes in session.execute(select(*columns).where(*of_store)):
        known = msgspec.json.decode(attributes)
        if wanted is None or wanted(known):
            found[row_id] = SearchedFile(file_id, filename, known)
    return found


def _places(
    session: Session, store: VectorStoreRow, files: dict[str, SearchedFile]
) -> list[PagePlace]:
    page, file = VectorPageRow, StoreFileRow
    found = session.execute(
        select(page.id, page.store_file_id, page.first)
        .join(file, file.id == page.store_file_id)
        .where(file.store_id == store.id, file.status == "completed", page.space == store.space)
        .order_by(page.store_file_id, page.first)
    )
    return [PagePlace(*each) for each in found if each.store_file_id in files]
