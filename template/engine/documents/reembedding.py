"""Re-embedding: a store moves to another space while it is searched.

Pages of the new space are added beside the old ones, which searches read until every file has all
of its own. Then the store changes its space at once, and the old pages go. Texts are not read
again.
"""

import asyncio
import time
from contextlib import suppress

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.documents.embedding import embed_pages, remove_pages_outside
from engine.documents.removal import PAGES
from engine.documents.space import Space, space_named
from engine.documents.tables import StoreFileRow, VectorPageRow, VectorStoreRow
from engine.errors import NotFound
from engine.jobs.jobs import FINAL, Job, submit_job
from engine.jobs.runs import Run, require_run
from engine.sql.tables import JobRow

FILES = 100
"""Files that one look finds: those that are ingested meanwhile are found by a later one."""


class ReembeddingSubject(BaseModel):
    """Subject of the job: a store, and the name of its new space."""

    store_id: str
    space: str


async def reembed(run: Run, subject: ReembeddingSubject) -> None:
    """Move a store to a space; an attempt after a crash goes on with the page that lacks."""
    database, space = run.resources.database, space_named(subject.space)
    while not await database.write(change_space, run, subject.store_id, space):
        for file_id, chunks in await database.read(files_without, subject.store_id, space.name):
            with suppress(NotFound):  # removed since
                await embed_pages(run, file_id, space, chunks)
    removed = True
    while removed:
        began = time.monotonic()
        removed = await database.write(remove_old_pages, run, subject.store_id)
        await asyncio.sleep(time.monotonic() - began)


REEMBED: Job[ReembeddingSubject] = Job(
    "reembed_store", ReembeddingSubject, reembed, attempts=10, submittable=False
)


def submit_reembedding(session: Session, space: Space, store_id: str | None = None) -> list[str]:
    """Record a job for each store of another space, or for one; return the stores' ids.

    A store that has such a job already gets no second one. Raise `NotFound` for an unknown store.
    """
    row = VectorStoreRow
    wanted = [row.deleted_at.is_(None)] + ([row.id == store_id] if store_id else [])
    stores = session.scalars(select(row).where(*wanted).order_by(row.id)).all()
    if store_id and not stores:
        raise NotFound(f"There is no vector store {store_id}.")
    busy = _stores_with_a_job(session)
    others = [each for each in stores if each.space != space.name and each.id not in busy]
    for store in others:
        subject = ReembeddingSubject(store_id=store.id, space=space.name)
        submit_job(session, store.caller_id, REEMBED, subject, request_id="")
    return [store.id for store in others]


def files_without(session: Session, store_id: str, space: str) -> list[tuple[str, int]]:
    """Return some completed files that lack pages of a space, with the numbers of their chunks."""
    file, page = StoreFileRow, VectorPageRow
    own = (page.store_file_id == file.id) & (page.space == space)
    found = session.execute(
        select(file.id, file.chunks)
        .outerjoin(page, own)
        .where(file.store_id == store_id, file.status == "completed")
        .group_by(file.id, file.chunks)
        .having(func.coalesce(func.sum(page.count), 0) < file.chunks)
        .order_by(file.id)
        .limit(FILES)
    )
    return [(file_id, chunks) for file_id, chunks in found]


def change_space(session: Session, run: Run, store_id: str, space: Space) -> bool:
    """Let searches read the pages of a space; return False where a completed file lacks some.

    A file that is being ingested completes before this, or in the new space.
    """
    require_run(session, run.id, run.owner)
    store = session.get(VectorStoreRow, store_id, with_for_update=True)
    if store is None:
        return True
    if files_without(session, store_id, space.name):
        return False
    store.space, store.dimensions = space.name, space.dimensions
    return True


def remove_old_pages(session: Session, run: Run, store_id: str) -> bool:
    """Remove some pages that no search reads any more; return whether there were any."""
    require_run(session, run.id, run.owner)
    store = session.get(VectorStoreRow, store_id)
    if store is None:
        return False
    files = (StoreFileRow.store_id == store_id) & (StoreFileRow.status == "completed")
    return remove_pages_outside(session, files, store.space, PAGES) > 0


def _stores_with_a_job(session: Session) -> set[str]:
    open_jobs = JobRow.name == REEMBED.name, JobRow.status.not_in(FINAL)
    subjects = session.scalars(select(JobRow.subject).where(*open_jobs))
    return {ReembeddingSubject.model_validate(each).store_id for each in subjects}
