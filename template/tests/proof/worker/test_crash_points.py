"""A worker dies at each of its durable steps, just before the commit and just after it.

The workers after it bring everything to its end: nothing is lost, nothing is done twice, and no
more is repeated than was in flight.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Literal

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.resources.lifespan import all_operations
from engine.batches import batch_output, batches, files
from engine.jobs import jobs
from engine.sql.tables import (
    Base,
    BatchLaneRow,
    BatchRow,
    CallerRow,
    FileRow,
    ItemRow,
    JobRow,
    LeaseRow,
    ScheduleRow,
)
from tests.lines import CHAT_URL, chats
from tests.proof.machines.features import counting, features, greeting
from tests.proof.thorough import one_of_each
from tests.proof.worker.crashing import KILLED, Point, Workers, workers
from tests.service import Service, service

LANES, CHUNK, ITEMS = 2, 3, 12
NUMBERS = 3

STEPS = (
    Point("lanes.claim_lane", "before"),
    Point("lanes.claim_lane", "after"),
    Point("batch_input.restart_input", "after"),
    Point("batch_input.restart_input", "before"),
    Point("batch_input.add_items", "before"),
    Point("batch_input.add_items", "after"),
    Point("batch_input.accept_input", "after"),
    Point("batch_input.accept_input", "before"),
    Point("items.claim_items", "before", nth=2),
    Point("items.claim_items", "after", nth=2),
    Point("items.record_items", "before", nth=2),  # after the model has answered
    Point("items.record_items", "after", nth=2),
    Point("items.give_back", "after"),
    Point("items.give_back", "before"),
    Point("finalise.cut_off", "before"),
    Point("finalise.cut_off", "after"),
    Point("finalise.begin_finalising", "after"),
    Point("finalise.begin_finalising", "before"),
    Point("finalise.finish_batch", "before"),
    Point("finalise.finish_batch", "after"),
    Point("items.leave_lane", "after"),
    Point("items.leave_lane", "before"),
    Point("runs.claim_job", "before"),
    Point("runs.claim_job", "after"),
    Point("runs.report_progress", "after", nth=2),
    Point("runs.report_progress", "before", nth=2),
    Point("runs.record_job", "before"),
    Point("runs.record_job", "after"),
    Point("schedules.start_due", "after"),
    Point("schedules.start_due", "before"),
)
"""The first of each two runs on every commit."""

CLAIMING, LEAVING = 7, 8
"""Statements of a claim that takes a lane, and of giving it back."""
WITHIN = [
    *(Point("lanes.claim_lane", "within", statements=number) for number in range(1, CLAIMING + 1)),
    *(Point("items.leave_lane", "within", statements=number) for number in range(1, LEAVING + 1)),
]
SOME = [point for point in STEPS if point.step in {"items.record_items", "runs.record_job"}]


@dataclass(frozen=True, slots=True)
class Site:
    """A database with work to do, and workers that do it."""

    service: Service
    workers: Workers

    def prepare(self) -> None:
        """Leave one batch, one job and one tick to be worked off, and nothing else."""
        self.service.in_database(empty)
        self.service.new_key()
        self.service.in_database(submit)

    def crash(self, point: Point) -> None:
        """Let a worker die, and its leases run out."""
        assert self.workers.run(point) == KILLED, f"{point} was not reached"
        self.service.in_database(let_leases_run_out)

    def check_whole(self, crashes: int) -> None:
        """Let a worker finish; everything must have been done once."""
        assert self.workers.run() == 0
        self.service.in_database(check_batch, crashes)
        self.service.in_database(check_jobs, crashes)


def empty(session: Session) -> None:
    for table in reversed(Base.metadata.sorted_tables):
        session.execute(delete(table))


def submit(session: Session) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    file_id = files.begin_file(session, caller_id, filename="in.jsonl", purpose="batch")
    session.flush()
    files.append_part(session, caller_id, file_id, 0, chats(ITEMS))
    files.finish_file(session, caller_id, file_id)
    batches.create_batch(
        session,
        caller_id,
        endpoint=CHAT_URL,
        input_file_id=file_id,
        completion_window="24h",
        metadata=None,
        operations=all_operations(),
        flags=(),
        request_id="req_a",
    )
    subject = counting.Counting(numbers=NUMBERS)
    jobs.submit_job(session, caller_id, counting.JOB, subject, request_id="req_b")
    session.add(ScheduleRow(name=greeting.JOB.name, tick=0.0))


def let_leases_run_out(session: Session) -> None:
    session.execute(update(LeaseRow).values(expires_at=1.0))
    session.execute(update(BatchLaneRow).values(heartbeat_at=1.0))
    waiting = BatchLaneRow.ready_at.is_not(None), ~BatchLaneRow.ready
    session.execute(update(BatchLaneRow).where(*waiting).values(ready_at=1.0))


def check_batch(session: Session, crashes: int) -> None:
    batch = session.scalars(select(BatchRow)).one()
    assert (batch.status, batch.completed, batch.failed) == ("completed", ITEMS, 0)
    rows = session.scalars(select(ItemRow).order_by(ItemRow.seq)).all()
    assert [row.custom_id for row in rows] == [f"item-{number}" for number in range(ITEMS)]
    assert {row.status for row in rows} == {"succeeded"}
    repeated = sum(row.attempt for row in rows) - ITEMS
    assert repeated == sum(row.crashes for row in rows)
    assert repeated <= crashes * LANES * CHUNK
    assert sum(row.errors for row in rows) == 0
    shown = session.scalars(select(FileRow.id).where(FileRow.batch_id == batch.id)).all()
    assert shown == [batch.output_file_id]
    lines, _ = batch_output.output_lines(session, batch.id, batch_output.OUTPUT, 0)
    assert [json.loads(line)["custom_id"] for line in lines.splitlines()] == [
        row.custom_id for row in rows
    ]


def check_jobs(session: Session, crashes: int) -> None:
    rows = session.scalars(select(JobRow).order_by(JobRow.name)).all()
    assert [row.name for row in rows] == [counting.JOB.name, greeting.JOB.name]
    for row in rows:
        assert (row.status, row.errors) == ("succeeded", 0)
        assert row.attempt == row.crashes + 1 <= crashes + 1
    assert rows[0].result == {"numbers": NUMBERS, "attempt": rows[0].attempt}


@contextmanager
def site(folder: Path, redis_url: str, database_url: str | None = None) -> Iterator[Site]:
    """Yield a database on which only these workers run."""
    with (
        features(),
        service(
            folder,
            redis_url,
            database_url,
            sweep_seconds=0.1,
            batch_lanes=LANES,
            batch_chunk=CHUNK,
        ) as running,
        workers(running.environment) as forked,
    ):
        yield Site(running, forked)


@pytest.fixture(scope="module")
def sqlite(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("crashes"), redis_url) as ready:
        yield ready


@pytest.fixture(scope="module")
def postgresql(
    redis_url: str, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("crashes"), redis_url, postgres_url) as ready:
        yield ready


def check_crash(on: Site, *points: Point) -> None:
    on.prepare()
    for point in points:
        on.crash(point)
    on.check_whole(crashes=len(points))


def step(point: Point) -> tuple[str, int]:
    """Return what one case of is enough on every commit: a step, and four of its statements."""
    return point.step, point.statements // 4


@pytest.mark.parametrize("point", one_of_each(STEPS, step), ids=str)
def test_a_worker_may_die_at_any_step(sqlite: Site, point: Point) -> None:
    check_crash(sqlite, point)


@pytest.mark.parametrize("point", one_of_each(SOME + WITHIN, step), ids=str)
def test_a_worker_may_die_on_postgresql(postgresql: Site, point: Point) -> None:
    check_crash(postgresql, point)


@pytest.mark.parametrize(
    ("database", "when"),
    one_of_each(
        [
            ("sqlite", "before"),
            ("postgresql", "after"),
            ("sqlite", "after"),
            ("postgresql", "before"),
        ],
        itemgetter(0),
    ),
)
def test_a_worker_may_die_while_it_recovers_what_another_left(
    request: pytest.FixtureRequest, database: str, when: Literal["before", "after"]
) -> None:
    check_crash(
        request.getfixturevalue(database),
        Point("items.record_items", "before", nth=2),
        Point("reaper.recover_work", when),
    )
