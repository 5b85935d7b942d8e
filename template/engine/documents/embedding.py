"""Vectors of a file's chunks: page by page, each in one transaction, none of them twice."""

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from engine.documents.removal import UNUSED
from engine.documents.space import Space, Vectors, embed_texts
from engine.documents.tables import DocumentChunkRow, StoreFileRow, VectorPageRow
from engine.errors import NotFound
from engine.jobs.runs import Run, allow_all_tries, require_run

PAGE = 128
"""Chunks of one page of vectors: what a killed worker embeds again at most."""

GONE = "The file is in the store no more."


async def embed_pages(run: Run, store_file_id: str, space: Space, chunks: int) -> None:
    """Embed the chunks of a file that have no page in this space yet, page by page.

    Raise `NotFound` where the file is removed before its end.
    """
    database = run.resources.database
    there = await database.read(pages_of, store_file_id, space.name)
    for first in range(0, chunks, PAGE):
        if first in there:
            continue
        texts = await database.read(texts_of, store_file_id, first)
        if not texts:
            raise NotFound(GONE)
        vectors = await embed_texts(run.model, space, texts)
        await database.write(write_page, run, store_file_id, space, first, vectors)
        await run.report(step="embed", chunks=chunks, embedded=min(first + PAGE, chunks))


def pages_of(session: Session, store_file_id: str, space: str) -> set[int]:
    """Return the positions at which pages begin."""
    row = VectorPageRow
    statement = select(row.first).where(row.store_file_id == store_file_id, row.space == space)
    return set(session.scalars(statement))


def texts_of(session: Session, store_file_id: str, first: int) -> list[str]:
    """Return the texts of one page of chunks."""
    row = DocumentChunkRow
    of_page = row.store_file_id == store_file_id, row.seq >= first, row.seq < first + PAGE
    return list(session.scalars(select(row.text).where(*of_page).order_by(row.seq)))


def write_page(
    session: Session, run: Run, store_file_id: str, space: Space, first: int, vectors: Vectors
) -> None:
    """Write one page. Raise `LostRunError` where another worker has the job, or it is cancelled."""
    row = held_file(session, run, store_file_id)
    page = VectorPageRow(store_file_id=store_file_id, space=space.name, first=first)
    page.count, page.vectors = len(vectors), vectors.tobytes()
    session.add(page)
    row.usage_bytes += len(page.vectors)
    allow_all_tries(session, run.id)


def remove_pages_outside(
    session: Session, files: ColumnElement[bool], space: str, most: int
) -> int:
    """Remove pages of these files that are of another space, so many at once; return how many."""
    page = VectorPageRow
    rows = session.execute(
        select(page.id, page.store_file_id, func.length(page.vectors))
        .join(StoreFileRow, StoreFileRow.id == page.store_file_id)
        .where(files, page.space != space)
        .limit(most)
    ).all()
    session.execute(delete(page).where(page.id.in_([page_id for page_id, _, _ in rows])))
    for _, store_file_id, size in rows:
        own = StoreFileRow.id == store_file_id
        less = StoreFileRow.usage_bytes - size
        session.execute(update(StoreFileRow).where(own).values(usage_bytes=less))
    return len(rows)


def held_file(session: Session, run: Run, store_file_id: str) -> StoreFileRow:
    """Return the row of a file, locked for a run that still has its job.

    Raise `LostRunError` where it has not, `NotFound` where the file is gone.
    """
    require_run(session, run.id, run.owner)
    row = session.get(StoreFileRow, store_file_id, with_for_update=True)
    if row is None or row.status in UNUSED:
        raise NotFound(GONE)
    return row
