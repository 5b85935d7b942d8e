"""`app queue status`, on both databases: waiting work, its age, and the workers."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.agents.runs import AWAITED_RUN, BACKGROUND_RUN
from engine.process.queue import Kind, open_queue
from engine.sql.statements import now
from engine.sql.tables import BatchLaneRow, ItemRow, WorkerRow
from engine.work import leases, workers
from engine.work.workers import Worker
from tests.cli.command import in_database, run, told, told_json
from tests.proof.machines import past
from tests.service import free_port

HOUR = 3600.0
STATUS = ("queue", "status")


@pytest.fixture(autouse=True)
def _database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", "none")
    in_database(past.add_caller)


def depth(work: str) -> dict[str, Any]:
    [found] = [each for each in told_json("queue", "status")["depths"] if each["work"] == work]
    return {name: value for name, value in found.items() if name != "work"}


def about(days: float) -> object:
    return pytest.approx(days * past.DAY, abs=HOUR)


def hold(session: Session, batch_id: str, seconds_ago: float = 0.0) -> None:
    """Let a worker hold the first lane and run the first item."""
    lane = BatchLaneRow.batch_id == batch_id, BatchLaneRow.lane == 0
    beat = now() - seconds_ago
    held = {"heartbeat_at": beat, "ready": False, "ready_at": beat + 60}
    session.execute(update(BatchLaneRow).where(*lane).values(**held))
    item = ItemRow.batch_id == batch_id, ItemRow.seq == 0
    session.execute(update(ItemRow).where(*item).values(status="running", owner="lease_1"))
    leases.grant_lease(session, "lease_1", 60.0 - seconds_ago)


def delay_items(session: Session, batch_id: str) -> None:
    later = update(ItemRow).where(ItemRow.batch_id == batch_id)
    session.execute(later.values(not_before=now() + 60))
    lanes = update(BatchLaneRow).where(BatchLaneRow.batch_id == batch_id)
    session.execute(lanes.values(ready=False, ready_at=now() + 60))


def test_nothing_is_seen_where_nothing_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert {"batches 0 0 -", "items 0 0 -", "webhooks 0 0 -"} <= set(told("queue", "status"))
    assert "start one with `app worker`" in run("queue", "status").stderr


class TestBatches:
    def test_one_that_nobody_works_on_waits_since_it_was_made(self) -> None:
        in_database(past.add_batch, 2, "validating", items=0)
        assert depth("batches") == {"waiting": 1, "running": 0, "oldest": about(2)}

    def test_one_in_hand_does_not_wait(self) -> None:
        batch_id = in_database(past.add_batch, 2, "in_progress", items=3)
        in_database(hold, batch_id)
        assert depth("batches") == {"waiting": 0, "running": 1, "oldest": None}
        assert depth("items") == {"waiting": 2, "running": 1, "oldest": None}
        assert told_json("queue", "status")["lanes"] == {"held": 1, "free": 1}

    def test_one_whose_worker_died_waits_since_then(self) -> None:
        batch_id = in_database(past.add_batch, 2, "in_progress", items=3)
        in_database(hold, batch_id, HOUR)
        assert depth("batches")["oldest"] == pytest.approx(HOUR, abs=60)

    def test_one_whose_items_are_to_be_tried_later_does_not_wait(self) -> None:
        batch_id = in_database(past.add_batch, 2, "in_progress")
        in_database(delay_items, batch_id)
        assert depth("batches") == {"waiting": 0, "running": 0, "oldest": None}

    def test_an_ended_one_is_not_counted(self) -> None:
        in_database(past.add_batch, 2, items=0)
        assert depth("batches") == {"waiting": 0, "running": 0, "oldest": None}
        assert told_json("queue", "status")["lanes"] == {"held": 0, "free": 0}


def test_jobs_are_counted_by_name() -> None:
    in_database(past.add_job, 1, "queued")
    in_database(past.add_job, 2, "queued")
    in_database(past.add_job, 3, "running")
    in_database(past.add_job, 4, "succeeded")
    in_database(past.add_job, 5, "running", name="retention")
    assert depth("job report") == {"waiting": 2, "running": 1, "oldest": about(2)}
    assert depth("job retention") == {"waiting": 0, "running": 1, "oldest": None}


def test_webhooks_that_are_owed_or_given_up_are_counted() -> None:
    in_database(past.add_webhook)
    for status in ("pending", "dead", "delivered"):
        in_database(past.add_delivery, 1, status)
    assert depth("webhooks") == {"waiting": 1, "running": 0, "oldest": about(1)}
    assert told_json("queue", "status")["dead_webhooks"] == 1


def test_calls_that_wait_for_a_human_are_counted_by_agent() -> None:
    for days, status, state in (
        (3, "approval", "completed"),
        (2, "approval", "incomplete"),
        (5, "approved", "completed"),
        (6, "approval", "cancelled"),  # it cannot be continued
    ):
        response_id = in_database(past.add_response, days, state, model="refunds")
        at = {"started_at": past.ago(days), "finished_at": None}
        in_database(past.add_step, response_id, 0, status=status, **at)
    [found] = told_json("queue", "status")["approvals"]
    assert found == {"agent": "refunds", "waiting": 2, "oldest": about(3)}
    assert any("Approvals that refunds waits for: 2, the" in each for each in told(*STATUS))


def test_a_call_that_waits_for_a_human_needs_no_more_workers() -> None:
    response_id = in_database(past.add_response, 3, model="refunds")
    in_database(past.add_step, response_id, 0, status="approval")
    assert run(*STATUS, "--max-wait", "60").exit_code == 0


def test_runs_of_agents_that_wait_are_seen_by_their_pools() -> None:
    in_database(past.add_job, 1, "queued", name=AWAITED_RUN.name)
    in_database(past.add_job, 1, "running", name=BACKGROUND_RUN.name)
    assert depth("job agent") == {"waiting": 1, "running": 0, "oldest": about(1)}
    assert depth("job background_agent") == {"waiting": 0, "running": 1, "oldest": None}


class TestLeases:
    def test_one_on_a_batch_names_it(self) -> None:
        batch_id = in_database(past.add_batch, 1, "in_progress")
        in_database(hold, batch_id)
        [lease] = told_json("queue", "status")["leases"]
        assert (lease["id"], lease["work"], lease["subject"]) == ("lease_1", "batch", batch_id)
        assert 0 < lease["left"] <= 60

    def test_one_on_a_job_names_it(self) -> None:
        job_id = in_database(past.add_job, 1, "running", owner="lease_2")
        in_database(leases.grant_lease, "lease_2", 60.0)
        [lease] = told_json("queue", "status")["leases"]
        assert (lease["work"], lease["subject"]) == ("job report", job_id)

    def test_one_without_anything_in_flight_names_nothing(self) -> None:
        in_database(leases.grant_lease, "lease_3", 60.0)
        assert any(line.startswith("lease_3 - - ") for line in told("queue", "status"))


class TestWorkers:
    def test_a_worker_that_signs_in_is_seen(self) -> None:
        in_database(workers.sign_in, Worker(id="worker_1", host="alpha", pid=42))
        in_database(workers.sign_in, Worker(id="worker_1", host="alpha", pid=42))
        [worker] = told_json("queue", "status")["workers"]
        assert (worker["host"], worker["pid"]) == ("alpha", 42)
        assert worker["age"] >= worker["silent"]

    def test_one_that_signs_off_is_not_seen_any_more(self) -> None:
        worker = Worker(id="worker_1")
        in_database(workers.sign_in, worker)
        in_database(workers.sign_off, worker)
        assert told_json("queue", "status")["workers"] == []

    def test_one_that_is_silent_for_long_is_forgotten(self) -> None:
        def be_silent(session: Session) -> None:
            session.execute(update(WorkerRow).values(seen_at=now() - workers.FORGOTTEN - 1))

        in_database(workers.sign_in, Worker(id="worker_dead"))
        in_database(be_silent)
        in_database(workers.sign_in, Worker(id="worker_alive"))
        seen = [worker["id"] for worker in told_json("queue", "status")["workers"]]
        assert seen == ["worker_alive"]


class TestMaxWait:
    def test_work_that_waits_for_longer_ends_with_1(self) -> None:
        in_database(past.add_job, 1, "queued")
        assert run("queue", "status", "--max-wait", "60").exit_code == 1

    def test_work_that_waits_for_less_ends_with_0(self) -> None:
        in_database(past.add_job, 1, "queued")
        assert run("queue", "status", "--max-wait", str(2 * past.DAY)).exit_code == 0

    def test_without_it_the_end_is_0(self) -> None:
        in_database(past.add_job, 1, "queued")
        assert run("queue", "status").exit_code == 0


class TestRedis:
    def test_calls_that_no_worker_has_heard_are_counted(
        self, redis_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("REDIS_URL", redis_url)
        monkeypatch.setenv("SERVICE_SLUG", "status-test")

        async def call() -> None:
            async with open_queue(Settings(_env_file=None)) as queue:
                await queue.wake(Kind.JOBS)

        before = told_json("queue", "status")["wake_up_calls"]
        asyncio.run(call())
        assert told_json("queue", "status")["wake_up_calls"] == before + 1

    def test_one_that_is_away_is_told_and_no_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
        assert any("Redis is away" in line for line in told("queue", "status"))
