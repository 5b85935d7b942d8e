"""Workers are killed, Redis is wiped, deploys come in between: nothing is lost, nothing doubled."""

import json
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from openai import OpenAI
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.sql.tables import ItemRow
from tests.jobs.batches import (
    CHUNK,
    ITEMS,
    LANES,
    all_frozen_with_items,
    check_whole,
    completed,
    open_leases,
    slow_service,
    submit,
    total,
)
from tests.proof.thorough import one_of_each
from tests.servers import EmbeddedRedis, running
from tests.service import Program, Service, eventually, service

CLOCK_STEP = """
import sys, time
right = time.time
wrong = lambda: right() + {seconds}
for module in list(sys.modules.values()):
    if vars(module).get("time") is right:
        module.time = wrong
print("the clock is {seconds} s wrong", flush=True)
"""


@pytest.fixture(scope="module", params=one_of_each(["sqlite", "postgresql"], lambda _: "database"))
def api(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    with slow_service(tmp_path_factory.mktemp("slow"), redis_url, url) as running:
        yield running


@pytest.fixture
def slow(api: Service) -> Iterator[Service]:
    """The service, whose workers end with the test."""
    yield api
    for program in api.programs[1:]:
        program.stop()


@pytest.fixture
def client(slow: Service) -> Iterator[OpenAI]:
    with slow.client(slow.new_key()) as official:
        yield official


def last_recovery(session: Session, batch_id: str) -> float:
    """Return when the last item ended that had lost its worker."""
    lost = ItemRow.batch_id == batch_id, ItemRow.crashes > 0
    return session.scalar(select(func.max(ItemRow.finished_at)).where(*lost)) or 0.0


def says(program: Program, text: str) -> bool:
    return text in program.text()


def shifted(folder: Path, seconds: int) -> str:
    """Return a folder with a module that sets Python's clock wrong wherever it is known."""
    folder.mkdir()
    folder.joinpath("clock_step.py").write_text(CLOCK_STEP.format(seconds=seconds))
    return str(folder)


def test_all_workers_may_be_killed_and_what_they_held_runs_again_soon(
    slow: Service, client: OpenAI
) -> None:
    slow.start("worker", "worker")
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    eventually(lambda: all_frozen_with_items(slow))
    for worker in slow.workers():
        worker.stop(signal.SIGKILL)
    slow.start("worker")
    restarted = time.time()
    check_whole(client, batch, ITEMS)
    repeated = slow.in_database(total, ItemRow.attempt, batch.id) - ITEMS
    assert 0 < repeated <= LANES * CHUNK
    assert slow.in_database(total, ItemRow.crashes, batch.id) == repeated
    waited = slow.in_database(last_recovery, batch.id) - restarted
    assert waited < 3 * slow.settings.lease_seconds


def test_a_worker_that_is_stopped_twice_gives_back_at_once(slow: Service, client: OpenAI) -> None:
    worker = slow.start("worker", SHUTDOWN_GRACE="600", SIMULATED_LATENCY="600")
    batch = submit(client, CHUNK)
    eventually(lambda: slow.in_database(total, ItemRow.attempt, batch.id) == CHUNK)
    worker.process.send_signal(signal.SIGTERM)
    eventually(partial(says, worker, "stopping"))
    assert worker.stop() == 0
    assert slow.in_database(open_leases) == 0
    slow.start("worker")
    check_whole(client, batch, CHUNK)
    assert slow.in_database(total, ItemRow.crashes, batch.id) == 0


def test_a_batch_that_nobody_was_told_of_is_found(slow: Service, client: OpenAI) -> None:
    batch = submit(client, 5)
    with Redis.from_url(slow.settings.broker_url) as redis:
        redis.flushall()
    slow.start("worker")
    check_whole(client, batch, 5)


def test_redis_may_be_wiped_in_mid_batch(slow: Service, client: OpenAI) -> None:
    slow.start("worker")
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    with Redis.from_url(slow.settings.broker_url) as redis:
        redis.flushall()
    check_whole(client, batch, ITEMS)
    assert slow.in_database(total, ItemRow.attempt, batch.id) == ITEMS


def test_a_cancelled_batch_keeps_what_is_done_and_cuts_off_the_rest(
    slow: Service, client: OpenAI
) -> None:
    slow.start("worker")
    batch = submit(client, 200)
    eventually(lambda: completed(client, batch) >= 5)
    assert client.batches.cancel(batch.id).status == "cancelling"
    eventually(lambda: client.batches.retrieve(batch.id).status == "cancelled")
    end = client.batches.retrieve(batch.id)
    assert end.output_file_id
    assert end.error_file_id
    done = client.files.content(end.output_file_id).text.splitlines()
    cut_off = [
        json.loads(each) for each in client.files.content(end.error_file_id).text.splitlines()
    ]
    assert len(done) + len(cut_off) == 200
    assert {each["error"]["code"] for each in cut_off} == {"batch_cancelled"}


def test_a_frozen_workers_late_results_are_refused(slow: Service, client: OpenAI) -> None:
    frozen = slow.start("worker")
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= 5)
    eventually(lambda: all_frozen_with_items(slow))
    try:
        slow.start("worker")
        eventually(lambda: slow.in_database(total, ItemRow.crashes, batch.id) > 0)
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    check_whole(client, batch, ITEMS)
    assert slow.in_database(total, ItemRow.attempt, batch.id) <= ITEMS + 2 * LANES * CHUNK


def test_workers_whose_clocks_differ_by_hours_take_nothing_from_each_other(
    slow: Service, client: OpenAI, tmp_path: Path
) -> None:
    ahead = slow.start("worker", MORE_MODULES=shifted(tmp_path / "ahead", 3600))
    behind = slow.start("worker", MORE_MODULES=shifted(tmp_path / "behind", -3600))
    for worker in ahead, behind:
        eventually(partial(says, worker, "s wrong"))
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    assert slow.in_database(total, ItemRow.crashes, batch.id) == 0
    ahead.stop(signal.SIGKILL)
    check_whole(client, batch, ITEMS)
    repeated = slow.in_database(total, ItemRow.attempt, batch.id) - ITEMS
    assert repeated == slow.in_database(total, ItemRow.crashes, batch.id) <= LANES * CHUNK


def test_a_worker_outlives_redis(tmp_path: Path) -> None:
    """Batches wait for their slots, nothing is lost, and Redis may come back empty."""
    with (
        running(EmbeddedRedis(tmp_path)) as redis,
        service(
            tmp_path, redis.url, lease_seconds=2, sweep_seconds=0.2, simulated_latency=0.2
        ) as ready,
    ):
        ready.start("api", "worker")
        with ready.client(ready.new_key()) as client:
            batch = submit(client, ITEMS)
            eventually(lambda: completed(client, batch) >= 5)
            redis.stop(signal.SIGKILL)
            redis.start()
            check_whole(client, batch, ITEMS)
            check_whole(client, submit(client, 3), 3)
