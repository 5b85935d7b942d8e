"""Batches of as many files as OpenAI takes: few statements, one truth, no rest."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from engine.documents import file_batches, removal
from engine.documents.embedding import held_file
from engine.documents.quotas import chunks_of
from engine.documents.resource import documents_of
from engine.documents.schema import MOST_FILES, FileBatchObject, NewFileBatch
from engine.documents.tables import StoreFileRow
from engine.errors import NotFound
from engine.jobs.runs import Run
from engine.resources import Resources
from engine.sql.statements import new_id
from engine.sql.tables import FileRow, JobRow
from tests.documents.stocked import Stocked

pytestmark = pytest.mark.anyio

FEW = 20


@contextmanager
def counting(session: Session) -> Iterator[list[str]]:
    """Yield the statements that are sent from here on; one for many rows is one."""
    sent: list[str] = []

    def note(*given: Any) -> None:  # noqa: ANN401 -- SQLAlchemy's
        sent.append(given[2])

    connection = session.connection()
    event.listen(connection, "before_cursor_execute", note)
    yield sent
    session.flush()
    event.remove(connection, "before_cursor_execute", note)


def add_files(session: Session, caller_id: str, count: int) -> list[str]:
    """Add files that are uploaded."""
    rows = [
        FileRow(
            id=new_id("file"),
            caller_id=caller_id,
            purpose="assistants",
            filename=f"{number}.md",
            bytes=10,
            created_at=time.time(),
            complete=True,
        )
        for number in range(count)
    ]
    session.add_all(rows)
    return [row.id for row in rows]


async def attach(stocked: Stocked, ids: list[str]) -> FileBatchObject:
    """Attach files as one batch."""
    return await stocked.resources.database.write(
        file_batches.create_file_batch,
        stocked.caller_id,
        stocked.id,
        NewFileBatch(file_ids=ids),
        settings=documents_of(stocked.resources).settings,
        request_id="req_a",
    )


async def batch_of(stocked: Stocked, count: int) -> FileBatchObject:
    """Return a new batch of new files."""
    ids = await stocked.resources.database.write(add_files, stocked.caller_id, count)
    return await attach(stocked, ids)


async def cancel(stocked: Stocked, batch: FileBatchObject) -> FileBatchObject:
    """Cancel a batch."""
    where = stocked.caller_id, stocked.id, batch.id
    return await stocked.resources.database.write(file_batches.cancel_file_batch, *where, "req_b")


def statements_to_attach(session: Session, stocked: Stocked, ids: list[str]) -> int:
    settings = documents_of(stocked.resources).settings
    new = NewFileBatch(file_ids=ids)
    known = stocked.caller_id, stocked.id, new
    with counting(session) as sent:
        file_batches.create_file_batch(session, *known, settings=settings, request_id="req_a")
    return len(sent)


def statements_to_cancel(session: Session, stocked: Stocked, batch_id: str) -> int:
    with counting(session) as sent:
        file_batches.cancel_file_batch(session, stocked.caller_id, stocked.id, batch_id, "req_b")
    return len(sent)


async def test_many_files_are_attached_in_as_many_statements_as_few(stocked: Stocked) -> None:
    counts = []
    write = stocked.resources.database.write
    for count in (FEW, MOST_FILES):
        ids = await write(add_files, stocked.caller_id, count)
        counts += [await write(statements_to_attach, stocked, ids) for _ in range(2)]
    assert counts[:2] == counts[2:]


async def test_many_files_are_cancelled_in_as_many_statements_as_few(stocked: Stocked) -> None:
    counts = []
    for count in (FEW, MOST_FILES):
        batch = await batch_of(stocked, count)
        write = stocked.resources.database.write
        counts.append(await write(statements_to_cancel, stocked, batch.id))
    assert counts[0] == counts[1]


async def test_each_file_has_a_job_of_its_own(stocked: Stocked) -> None:
    await batch_of(stocked, FEW)
    jobs = await stocked.resources.database.read(jobs_by_file)
    assert len(jobs) == FEW
    assert all(job.subject["store_file_id"] == file_id for file_id, job in jobs.items())
    assert {(job.status, job.caller_id) for job in jobs.values()} == {("queued", "caller_a")}
    assert all(job.not_before <= time.time() < job.deadline_at for job in jobs.values())


async def test_a_batch_that_is_sent_again_has_the_same_files(stocked: Stocked) -> None:
    ids = await stocked.resources.database.write(add_files, stocked.caller_id, FEW)
    await attach(stocked, ids)
    again = await attach(stocked, ids)
    assert (again.status, again.file_counts.in_progress) == ("in_progress", FEW)


async def test_a_cancelled_batch_takes_no_room(stocked: Stocked) -> None:
    database = stocked.resources.database
    batch = await batch_of(stocked, FEW)
    await database.write(let_grow, {"chunks": 3, "usage_bytes": 5})
    cancelled = await cancel(stocked, batch)
    assert (cancelled.status, cancelled.file_counts.cancelled) == ("cancelled", FEW)
    assert await database.read(chunks_of, stocked.caller_id) == 0
    assert await database.read(each_file, lambda file: file.usage_bytes) == [0] * FEW


async def test_jobs_of_a_cancelled_batch_end(stocked: Stocked) -> None:
    database = stocked.resources.database
    batch = await batch_of(stocked, FEW + 1)
    await database.write(run_first, "lease_a")
    await cancel(stocked, batch)
    pieces = [each async for each in removed(stocked)]
    assert pieces == [{"jobs": FEW}]
    jobs = await database.read(jobs_by_file)
    assert sorted(job.status for job in jobs.values()) == ["cancelled"] * FEW + ["cancelling"]


async def test_a_file_that_was_cancelled_as_its_job_began_is_not_written(stocked: Stocked) -> None:
    database = stocked.resources.database
    batch = await batch_of(stocked, 1)
    await cancel(stocked, batch)
    await database.write(run_first, "lease_a")
    with pytest.raises(NotFound, match="no more"):
        await database.write(hold_first, stocked.resources, "lease_a")


async def removed(stocked: Stocked) -> Any:  # noqa: ANN401 -- pieces, one by one
    """Yield what each piece of the removal has taken."""
    while piece := await stocked.resources.database.write(removal.remove_piece, stocked.id):
        yield dict(piece)


def let_grow(session: Session, values: dict[str, int]) -> None:
    session.execute(update(StoreFileRow).values(values))


def each_file(session: Session, told: Callable[[StoreFileRow], int]) -> list[int]:
    return [told(row) for row in session.scalars(select(StoreFileRow))]


def jobs_by_file(session: Session) -> dict[str, JobRow]:
    of_files = select(StoreFileRow.id, JobRow).join(JobRow, JobRow.id == StoreFileRow.job_id)
    return dict(session.execute(of_files).all())


def first_file(session: Session) -> StoreFileRow:
    return session.scalars(select(StoreFileRow).order_by(StoreFileRow.id).limit(1)).one()


def run_first(session: Session, owner: str) -> None:
    """Let a worker have the job of the first file."""
    job = session.get_one(JobRow, first_file(session).job_id)
    job.status, job.owner = "running", owner


def hold_first(session: Session, resources: Resources, owner: str) -> None:
    """Do as a worker does before each write of the first file."""
    row = first_file(session)
    known = {"caller_id": row.caller_id, "attempt": 1, "progress": None, "owner": owner}
    held_file(session, Run(resources=resources, id=row.job_id, **cast("Any", known)), row.id)
