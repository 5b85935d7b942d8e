"""A store moves to another space while it is searched, and no kill harms that."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.documents.ingestion import finish_ingestion
from engine.documents.reembedding import (
    REEMBED,
    ReembeddingSubject,
    change_space,
    files_without,
    reembed,
    submit_reembedding,
)
from engine.documents.search import Ranking, search_store
from engine.documents.tables import StoreFileRow, VectorPageRow, VectorStoreRow
from engine.errors import NotFound
from engine.jobs import runs
from engine.jobs.runs import Run
from engine.sql.statements import new_id
from engine.sql.tables import JobRow
from tests.documents.stocked import SPACE, Stocked

pytestmark = pytest.mark.anyio

NEW = replace(SPACE, dimensions=64)
BY_VECTORS = Ranking(weights=(1.0, 0.0))
TEXTS = [f"text {number}" for number in range(150)]


class KilledError(Exception):
    """The worker's end."""


@dataclass(frozen=True, slots=True)
class DyingRun(Run):
    """A run that is killed at one of its reports, each of which follows a page."""

    left: list[object] = field(default_factory=list)

    async def report(self, **_progress: object) -> None:
        """Report nothing."""
        if not self.left:
            raise KilledError
        self.left.pop()


async def claimed_run(store: Stocked, reports: int = 1000) -> tuple[Run, ReembeddingSubject]:
    """Claim the store's job, for a worker that dies after so many reports."""
    database, owner = store.resources.database, new_id("lease")
    claimed = await database.write(runs.claim_job, owner, 60.0, [REEMBED.name], scheduled=False)
    assert claimed
    common = store.resources, claimed.id, claimed.caller_id, claimed.attempt, None, owner
    run = DyingRun(*common, left=[None] * reports)
    return run, ReembeddingSubject.model_validate(claimed.subject)


async def attempt(store: Stocked, reports: int = 1000) -> None:
    """Work on the store's job once."""
    run, subject = await claimed_run(store, reports)
    with suppress(KilledError):
        await reembed(run, subject)
    await store.resources.database.write(give_back, run)


def give_back(session: Session, run: Run) -> None:
    job = session.get_one(JobRow, run.id)
    job.status, job.owner = "queued", None


async def submitted(store: Stocked) -> None:
    write = store.resources.database.write
    assert await write(submit_reembedding, NEW, store.id) == [store.id]


def spaces_of_pages(session: Session) -> dict[str, int]:
    row = VectorPageRow
    found = session.execute(select(row.space, func.sum(row.count)).group_by(row.space))
    return {space: int(count) for space, count in found}


def space_of(session: Session) -> tuple[str, int]:
    row = session.scalars(select(VectorStoreRow)).one()
    return row.space, row.dimensions


def usage(session: Session) -> int:
    return int(session.scalar(select(func.sum(StoreFileRow.usage_bytes))) or 0)


async def assert_all_found(store: Stocked, texts: Sequence[str]) -> None:
    for each in texts:
        (hit,) = await search_store(store.model, store.id, [each], ranking=BY_VECTORS, most=1)
        assert hit.text == each
        assert hit.score == pytest.approx(1.0)


async def test_a_store_moves_with_all_its_vectors(stocked: Stocked) -> None:
    await stocked.add(*TEXTS)
    await stocked.add("one more")
    await submitted(stocked)
    await attempt(stocked)
    database = stocked.resources.database
    assert await database.read(space_of) == (NEW.name, NEW.dimensions)
    assert await database.read(spaces_of_pages) == {NEW.name: 151}
    await assert_all_found(stocked, [TEXTS[0], TEXTS[149], "one more"])


@pytest.mark.parametrize("reports", range(4))
async def test_a_killed_worker_is_gone_on_with(stocked: Stocked, reports: int) -> None:
    await stocked.add(*TEXTS)
    await stocked.add("one more")
    await submitted(stocked)
    await attempt(stocked, reports)
    await assert_all_found(stocked, [TEXTS[0], TEXTS[149], "one more"])
    await attempt(stocked)
    assert await stocked.resources.database.read(spaces_of_pages) == {NEW.name: 151}
    await assert_all_found(stocked, [TEXTS[0], TEXTS[149], "one more"])


async def test_searches_go_on_and_miss_nothing(stocked: Stocked) -> None:
    for number in range(12):
        await stocked.add(*(f"{text} of {number}" for text in TEXTS))
    await submitted(stocked)
    moving, searches = asyncio.create_task(attempt(stocked)), 0
    while not moving.done():
        await assert_all_found(stocked, [f"text {searches % 150} of {searches % 12}"])
        searches += 1
    await moving
    assert searches > 2
    assert (await stocked.resources.database.read(space_of))[0] == NEW.name


async def test_bytes_are_those_of_the_new_vectors(stocked: Stocked) -> None:
    await stocked.add(*TEXTS)
    database = stocked.resources.database
    before = await database.read(usage)
    await submitted(stocked)
    await attempt(stocked)
    less = 4 * (SPACE.dimensions - NEW.dimensions) * len(TEXTS)
    assert await database.read(usage) == before - less


async def test_a_file_that_was_ingested_meanwhile_completes_in_the_new_space(
    stocked: Stocked,
) -> None:
    await stocked.add("fox", status="in_progress")
    await submitted(stocked)
    run, subject = await claimed_run(stocked)
    await reembed(run, subject)
    write, read = stocked.resources.database.write, stocked.resources.database.read
    (file_id,) = await read(lambda session: session.scalars(select(StoreFileRow.id)).all())
    assert await write(finish_ingestion, run, file_id, SPACE) == NEW
    assert await read(files_without, stocked.id, NEW.name) == []
    assert await search_store(stocked.model, stocked.id, ["fox"]) == []


async def test_no_store_changes_before_its_last_file_has_pages(stocked: Stocked) -> None:
    await stocked.add("fox")
    await submitted(stocked)
    run, _ = await claimed_run(stocked)
    write = stocked.resources.database.write
    assert await write(change_space, run, stocked.id, NEW) is False
    assert await stocked.resources.database.read(space_of) == (SPACE.name, SPACE.dimensions)


async def test_one_job_moves_a_store(stocked: Stocked, strangers: Stocked) -> None:
    write = stocked.resources.database.write
    assert await write(submit_reembedding, SPACE) == []
    assert await write(submit_reembedding, NEW, stocked.id) == [stocked.id]
    assert await write(submit_reembedding, NEW) == [strangers.id]
    assert await write(submit_reembedding, NEW) == []
    with pytest.raises(NotFound):
        await write(submit_reembedding, NEW, "vs_none")


async def test_a_store_that_is_deleted_meanwhile_ends_the_job(stocked: Stocked) -> None:
    await submitted(stocked)
    write = stocked.resources.database.write
    await write(lambda session: session.delete(session.get_one(VectorStoreRow, stocked.id)))
    await attempt(stocked)
