"""Old rows go, in pieces; open, young and needed ones stay."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.util import await_only

from app.resources.lifespan import all_operations
from app.settings import Settings
from engine.batches import batches, files
from engine.jobs import jobs, runs
from engine.jobs.runs import ClaimedJob, Run
from engine.sql.database import Database
from engine.sql.statements import new_id
from engine.sql.tables import (
    BatchLaneRow,
    BatchRow,
    ConversationRow,
    FileChunkRow,
    FileRow,
    IdempotencyRow,
    ItemRow,
    JobRow,
    ResponseEventRow,
    ResponseItemRow,
    ResponseRow,
    WebhookDeliveryRow,
)
from engine.sql.tables.batches import OPEN_BATCH
from engine.worker import retention
from engine.worker.retention import (
    CHUNKS,
    GROUPS,
    ROWS,
    Deleted,
    Everything,
)
from tests.proof.machines import past

pytestmark = pytest.mark.anyio

KEEP = 30.0
OLD, YOUNG = KEEP + 10, KEEP - 10


@pytest.fixture(autouse=True)
async def _caller(database: Database) -> None:
    await database.write(past.add_caller)


def submit(session: Session) -> ClaimedJob:
    """Return the claimed job of a worker."""
    jobs.submit_job(session, None, retention.RETENTION, Everything(), request_id="tick")
    claimed = runs.claim_job(session, new_id("lease"), 60, ["retention"], scheduled=True)
    assert claimed
    return claimed


def run_of(
    database: Database, job_id: str, owner: str, keep_days: float, progress: dict[str, Any] | None
) -> Run:
    settings = Settings(_env_file=None, keep_days=keep_days)
    resources = cast("Any", SimpleNamespace(database=database, settings=settings))
    return Run(resources, job_id, caller_id=None, attempt=1, progress=progress, owner=owner)


async def clean(
    database: Database, *, keep_days: float = KEEP, progress: dict[str, Any] | None = None
) -> Deleted:
    """Run the job as a worker does."""
    claimed = await database.write(submit)
    run = run_of(database, claimed.id, claimed.owner, keep_days, progress)
    deleted = await retention.delete_old(run, Everything())
    await database.write(runs.record_job, claimed, runs.JobOutcome("succeeded"))
    return deleted


def count(session: Session, table: type[Any]) -> int:
    return session.scalar(select(func.count()).select_from(table)) or 0


def ids(session: Session, column: InstrumentedAttribute[str]) -> set[str]:
    return set(session.scalars(select(column)))


async def test_an_old_batch_goes_with_all_that_belongs_to_it(database: Database) -> None:
    for status in past.END:
        await database.write(past.add_batch, OLD, status)
    assert await clean(database) == Deleted(batches=4, items=8, files=4)
    for table in (BatchRow, ItemRow, BatchLaneRow, FileRow):
        assert await database.read(count, table) == 0, table


async def test_an_open_batch_stays_however_old(database: Database) -> None:
    for status in OPEN_BATCH:
        await database.write(past.add_batch, OLD, status)
    await database.write(past.add_batch, OLD, "finalizing", expired_at=past.ago(OLD - 1))
    assert await clean(database) == Deleted()


async def test_a_young_batch_stays(database: Database) -> None:
    for status in past.END:
        await database.write(past.add_batch, YOUNG, status)
    assert await clean(database) == Deleted()


async def test_a_batch_counts_from_its_end(database: Database) -> None:
    batch_id = await database.write(past.add_batch, OLD)

    def end_late(session: Session) -> None:
        session.get_one(BatchRow, batch_id).completed_at = past.ago(YOUNG)

    await database.write(end_late)
    assert await clean(database) == Deleted()


async def test_more_than_one_piece_goes(database: Database) -> None:
    items, chunks = 2 * ROWS + 1, 2 * CHUNKS
    await database.write(past.add_batch, OLD, items=items)
    await database.write(past.add_file, OLD, chunks=chunks)
    deleted = await clean(database)
    assert deleted == Deleted(batches=1, items=items, files=2, chunks=chunks)
    assert await database.read(count, FileChunkRow) == 0


async def test_a_piece_is_bounded(database: Database) -> None:
    await database.write(past.add_batch, OLD, items=ROWS + 1)
    first = await database.write(retention.delete_batch, KEEP * past.DAY)
    assert first["items"] == ROWS


async def test_an_old_job_goes_and_a_young_one_stays(database: Database) -> None:
    for status in jobs.FINAL:
        await database.write(past.add_job, OLD, status)
    young = {await database.write(past.add_job, YOUNG, status) for status in jobs.FINAL}
    assert await clean(database) == Deleted(jobs=len(young))
    assert young < await database.read(ids, JobRow.id)


async def test_an_open_job_stays_however_old(database: Database) -> None:
    for status in ("queued", "running", "cancelling"):
        await database.write(past.add_job, OLD, status)
    assert await clean(database) == Deleted()


async def test_an_old_response_goes_with_its_items_and_a_young_one_stays(
    database: Database,
) -> None:
    for status in ("completed", "incomplete", "failed", "cancelled"):
        await database.write(past.add_response, OLD, status)
    young = await database.write(past.add_response, YOUNG)
    assert await clean(database) == Deleted(responses=4, response_items=8)
    assert await database.read(ids, ResponseRow.id) == {young}
    assert await database.read(ids, ResponseItemRow.response_id) == {young}


async def test_an_old_response_that_was_used_lately_stays(database: Database) -> None:
    await database.write(past.add_response, OLD, used_at=past.ago(YOUNG))
    assert await clean(database) == Deleted()


async def test_a_response_that_runs_stays_however_old(database: Database) -> None:
    for status in ("queued", "in_progress"):
        await database.write(past.add_response, OLD, status, groups=1)
    assert await clean(database) == Deleted()


async def test_an_old_conversation_goes_and_a_young_one_stays(database: Database) -> None:
    await database.write(past.add_conversation, KEEP + 0.1)
    kept = {
        await database.write(past.add_conversation, YOUNG),
        await database.write(past.add_conversation, OLD, held_by="resp_1"),
    }
    assert await clean(database) == Deleted(conversations=1)
    assert await database.read(ids, ConversationRow.id) == kept


async def test_a_conversation_that_stays_keeps_its_responses(database: Database) -> None:
    at_most = KEEP + 0.99  # `used_at` of a response lags by a day
    response_id = await database.write(past.add_response, at_most)
    await database.write(past.add_conversation, KEEP - 0.01, head_id=response_id)
    assert await clean(database) == Deleted()


async def test_responses_go_in_pieces(database: Database) -> None:
    await database.write(past.add_response, OLD, items=2 * ROWS + 1)
    first = await database.write(retention.delete_responses, KEEP * past.DAY)
    assert first == {"response_items": ROWS}
    assert await clean(database) == Deleted(responses=1, response_items=ROWS + 1)


async def test_events_go_an_hour_after_the_end_and_the_response_stays(database: Database) -> None:
    groups, hour = GROUPS + 1, 1 / 24
    ended = await database.write(past.add_response, 1.1 * hour, groups=groups)
    young = await database.write(past.add_response, 0.9 * hour, groups=1)
    late = await database.write(
        past.add_response, YOUNG, groups=1, finished_at=past.ago(0.9 * hour)
    )
    assert await clean(database) == Deleted(response_events=groups)
    assert await database.read(ids, ResponseRow.id) == {ended, young, late}
    assert await database.read(ids, ResponseEventRow.response_id) == {young, late}


async def test_an_old_message_goes_and_a_young_one_stays(database: Database) -> None:
    await database.write(past.add_webhook)
    for status in ("delivered", "dead"):
        await database.write(past.add_delivery, OLD, status)
    young = await database.write(past.add_delivery, YOUNG, "dead")
    assert await clean(database) == Deleted(webhook_deliveries=2)
    assert await database.read(ids, WebhookDeliveryRow.id) == {young}


async def test_a_message_that_is_still_owed_stays(database: Database) -> None:
    await database.write(past.add_webhook)
    await database.write(past.add_delivery, OLD, "pending")
    assert await clean(database) == Deleted()


async def test_an_answer_is_forgotten_after_a_day(database: Database) -> None:
    await database.write(past.add_idempotency_key, 1.1)
    young = await database.write(past.add_idempotency_key, 0.9)
    assert await clean(database) == Deleted(idempotency_keys=1)
    assert await database.read(ids, IdempotencyRow.key) == {young}


async def test_an_upload_that_broke_off_goes_after_a_day(database: Database) -> None:
    await database.write(past.add_file, 1.1, complete=False, chunks=1)
    young = await database.write(past.add_file, 0.9, complete=False, chunks=1)
    assert await clean(database) == Deleted(files=1, chunks=1)
    assert await database.read(ids, FileRow.id) == {young}


async def test_an_old_input_goes_with_its_last_batch(database: Database) -> None:
    file_id = await database.write(past.add_file, OLD, chunks=1)
    await database.write(past.add_batch, OLD, items=0, input_file_id=file_id)
    assert await clean(database) == Deleted(batches=1, files=2, chunks=1)


@pytest.mark.parametrize(("days", "status"), [(YOUNG, "completed"), (OLD, "in_progress")])
async def test_an_input_stays_as_long_as_a_batch_of_it(
    database: Database, days: float, status: str
) -> None:
    file_id = await database.write(past.add_file, OLD, chunks=1)
    await database.write(past.add_batch, OLD, items=0, input_file_id=file_id)
    await database.write(past.add_batch, days, status, items=0, input_file_id=file_id)
    await clean(database)
    assert file_id in await database.read(ids, FileRow.id)
    assert await database.read(count, FileChunkRow) == 1


async def test_an_input_that_stays_does_not_keep_others(database: Database) -> None:
    needed = await database.write(past.add_file, OLD + 1)
    await database.write(past.add_batch, YOUNG, items=0, input_file_id=needed)
    await database.write(past.add_file, OLD)
    assert await clean(database) == Deleted(files=1)


async def test_a_young_input_stays(database: Database) -> None:
    await database.write(past.add_file, YOUNG, chunks=1)
    assert await clean(database) == Deleted()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite: one writer
async def test_an_input_that_a_new_batch_is_made_from_stays(database: Database) -> None:
    file_id = await database.write(past.add_file, OLD, chunks=1)

    def create_beside_retention(session: Session) -> None:
        batches.create_batch(
            session,
            past.CALLER,
            endpoint="/v1/chat/completions",
            input_file_id=file_id,
            completion_window="24h",
            metadata=None,
            operations=all_operations(),
            flags=(),
            request_id="req_1",
        )
        assert not await_only(database.write(retention.delete_input, KEEP * past.DAY))

    await database.write(create_beside_retention)
    assert await clean(database) == Deleted()
    assert (await database.read(files.get_file, past.CALLER, file_id)).id == file_id


async def test_zero_days_keep_all_but_what_is_of_no_use(database: Database) -> None:
    await database.write(past.add_batch, OLD)
    await database.write(past.add_job, OLD, "failed")
    await database.write(past.add_response, OLD)
    await database.write(past.add_file, OLD)
    await database.write(past.add_file, OLD, complete=False)
    assert await clean(database, keep_days=0) == Deleted(files=1)


async def test_two_at_once_do_each_other_no_harm(database: Database) -> None:
    for _ in range(10):
        await database.write(past.add_batch, OLD, items=ROWS // 10)
        await database.write(past.add_file, OLD, chunks=CHUNKS)
        await database.write(past.add_job, OLD, "succeeded")
    both = await asyncio.gather(clean(database), clean(database))
    rest = await clean(database)
    assert sum(each.batches for each in (*both, rest)) == 10
    assert sum(each.items for each in (*both, rest)) == ROWS
    assert sum(each.jobs for each in (*both, rest)) == 10
    for table in (BatchRow, ItemRow, FileRow, FileChunkRow):
        assert await database.read(count, table) == 0, table


async def test_rows_that_an_earlier_attempt_has_deleted_are_counted(database: Database) -> None:
    await database.write(past.add_job, OLD, "failed")
    assert await clean(database, progress={"jobs": 5}) == Deleted(jobs=6)


async def test_a_worker_that_has_lost_the_job_stops(database: Database) -> None:
    await database.write(past.add_job, OLD, "failed")
    claimed = await database.write(submit)
    with pytest.raises(runs.LostRunError):
        await retention.delete_old(
            run_of(database, claimed.id, "another lease", KEEP, None), Everything()
        )
