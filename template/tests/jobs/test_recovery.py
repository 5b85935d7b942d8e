"""Workers are killed, Redis is wiped, deploys come in between: nothing is lost, nothing doubled."""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types import Batch
from redis import Redis
from sqlalchemy import func, make_url, select
from sqlalchemy.orm import Session

from app.development import valkey
from app.domain.clock import now
from app.domain.tables import ItemRow, LeaseRow
from tests.lines import chats
from tests.service import Program, Service, answers, eventually, service

LANES, CHUNK = 2, 5
ITEMS = 60


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose items take a while, and whose leases are short; no worker runs yet."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    with service(
        tmp_path_factory.mktemp("slow"),
        redis_url,
        url,
        lease_seconds=2,
        sweep_seconds=0.2,
        batch_lanes=LANES,
        batch_chunk=CHUNK,
        simulated_latency=0.2,
        shutdown_grace=5,
    ) as running:
        running.start("api")
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


def submit(client: OpenAI, items: int = ITEMS) -> Batch:
    file = client.files.create(file=("in.jsonl", chats(items)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def completed(client: OpenAI, batch: Batch) -> int:
    counts = client.batches.retrieve(batch.id).request_counts
    return counts.completed if counts else 0


def attempts(session: Session, batch_id: str) -> int:
    total = select(func.sum(ItemRow.attempt)).where(ItemRow.batch_id == batch_id)
    return int(session.scalar(total) or 0)


def crashes(session: Session, batch_id: str) -> int:
    total = select(func.sum(ItemRow.crashes)).where(ItemRow.batch_id == batch_id)
    return int(session.scalar(total) or 0)


def open_leases(session: Session) -> int:
    living = select(func.count()).select_from(LeaseRow).where(LeaseRow.expires_at > now())
    return int(session.scalar(living) or 0)


def freeze(service: Service, program: Program) -> None:
    """Stop a process between two of its transactions: inside one it would keep SQLite's lock."""
    url = make_url(service.settings.sql_url)

    def frozen_outside() -> bool:
        program.process.send_signal(signal.SIGSTOP)
        if url.get_backend_name() != "sqlite" or can_write(str(url.database)):
            return True
        program.process.send_signal(signal.SIGCONT)
        return False

    eventually(frozen_outside)


def can_write(database: str) -> bool:
    with closing(sqlite3.connect(database, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        return True


def check_whole(client: OpenAI, batch: Batch, items: int = ITEMS) -> None:
    """Wait for the end; each item must have its one answer."""
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    end = client.batches.retrieve(batch.id)
    assert end.request_counts
    assert (end.request_counts.completed, end.request_counts.failed) == (items, 0)
    assert end.output_file_id
    answers: list[dict[str, Any]] = [
        json.loads(each) for each in client.files.content(end.output_file_id).text.splitlines()
    ]
    expected = sorted(f"item-{number}" for number in range(items))
    assert sorted(answer["custom_id"] for answer in answers) == expected


def test_a_killed_worker_repeats_only_what_was_in_flight(slow: Service, client: OpenAI) -> None:
    worker = slow.start("worker")
    batch = submit(client)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    worker.stop(signal.SIGKILL)
    slow.start("worker")
    check_whole(client, batch)
    repeated = slow.in_database(attempts, batch.id) - ITEMS
    assert 0 < repeated <= LANES * CHUNK
    assert slow.in_database(crashes, batch.id) == repeated


def test_a_stopped_worker_repeats_nothing(slow: Service, client: OpenAI) -> None:
    worker = slow.start("worker")
    batch = submit(client)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    assert worker.stop() == 0
    assert slow.in_database(open_leases) == 0
    slow.start("worker")
    check_whole(client, batch)
    assert slow.in_database(attempts, batch.id) == ITEMS
    assert slow.in_database(crashes, batch.id) == 0


def test_a_batch_that_nobody_was_told_of_is_found(slow: Service, client: OpenAI) -> None:
    batch = submit(client, 5)
    with Redis.from_url(slow.settings.broker_url) as redis:
        redis.flushall()
    slow.start("worker")
    check_whole(client, batch, 5)


def test_redis_may_be_wiped_in_mid_batch(slow: Service, client: OpenAI) -> None:
    slow.start("worker")
    batch = submit(client)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    with Redis.from_url(slow.settings.broker_url) as redis:
        redis.flushall()
    check_whole(client, batch)
    assert slow.in_database(attempts, batch.id) == ITEMS


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
    batch = submit(client)
    eventually(lambda: completed(client, batch) >= 5)
    freeze(slow, frozen)
    try:
        slow.start("worker")
        eventually(lambda: slow.in_database(crashes, batch.id) > 0)
    finally:
        frozen.process.send_signal(signal.SIGCONT)
    check_whole(client, batch)
    assert slow.in_database(attempts, batch.id) <= ITEMS + 2 * LANES * CHUNK


def test_a_worker_outlives_redis(tmp_path: Path) -> None:
    """Without Redis nobody is woken up, but what runs goes on, and Redis may come back empty."""
    path = tmp_path / "redis.sock"
    command = valkey.command(valkey.find_server(), tmp_path, path)
    command = ["no" if part == "yes" else part for part in command]  # so that it forgets

    def start() -> subprocess.Popen[bytes]:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        with Redis(unix_socket_path=str(path)) as redis:
            eventually(lambda: path.exists() and answers(redis))
        return server

    server = start()
    try:
        with service(
            tmp_path, f"unix://{path}", lease_seconds=2, sweep_seconds=0.2, simulated_latency=0.2
        ) as running:
            running.start("api", "worker")
            with running.client(running.new_key()) as client:
                batch = submit(client)
                eventually(lambda: completed(client, batch) >= 5)
                server.kill()
                server.wait()
                seen = completed(client, batch)
                eventually(lambda: completed(client, batch) > seen)
                server = start()
                check_whole(client, batch)
                check_whole(client, submit(client, 3), 3)
    finally:
        server.terminate()
        server.wait()
