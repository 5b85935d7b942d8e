"""The API is killed, Redis is away or frozen: callers lose nothing, and hardly notice."""

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from openai import NotFoundError, OpenAI
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.sql.tables import BatchRow, FileRow, ItemRow
from tests.jobs.batches import check_whole, completed, submit, total
from tests.lines import chat_body, chats
from tests.proof.chaos.caller import RETRIES
from tests.servers import EmbeddedRedis
from tests.servers import running as serving
from tests.service import Program, Service, eventually, service

ITEMS = 40


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with serving(EmbeddedRedis(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture(scope="module")
def running(redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(
        tmp_path_factory.mktemp("outages"),
        redis.url,
        lease_seconds=4,  # at a load of 20 on 2 cores a worker lost one of 2 s
        sweep_seconds=0.2,
        batch_chunk=5,
        simulated_latency=0.2,
    ) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def client(running: Service) -> Iterator[OpenAI]:
    with running.client(running.new_key(), max_retries=RETRIES) as official:
        yield official


def api(running: Service) -> Program:
    return next(each for each in running.programs if each.command == "api" and not each.ended)


def half_uploaded(session: Session) -> list[str]:
    """Return the files of which a piece is there, but not the last."""
    return list(session.scalars(select(FileRow.id).where(~FileRow.complete, FileRow.bytes > 0)))


def batches_of(session: Session, file_id: str) -> list[str]:
    return list(session.scalars(select(BatchRow.id).where(BatchRow.input_file_id == file_id)))


def test_an_upload_whose_api_is_killed_is_seen_whole_or_not_at_all(
    running: Service, client: OpenAI
) -> None:
    content = b"x" * 2**25
    with ThreadPoolExecutor(1) as caller:
        uploading = caller.submit(client.files.create, file=("in.jsonl", content), purpose="batch")
        eventually(lambda: running.in_database(half_uploaded))
        api(running).stop(signal.SIGKILL)
        half = running.in_database(half_uploaded)
        running.start("api")
        whole = uploading.result()
    assert [file.id for file in client.files.list()] == [whole.id]
    assert client.files.content(whole.id).read() == content
    assert len(half) == 1
    with pytest.raises(NotFoundError):
        client.files.retrieve(half[0])


def killed_before_its_answer(running: Service, client: OpenAI, redis: EmbeddedRedis) -> bool:
    """Kill the API once it has committed a batch; say whether its caller had no answer by then.

    A frozen Redis holds it up before its wake-up call, but for 0.25 s: a busy machine misses that.
    """
    file_id = client.files.create(file=("in.jsonl", chats(3)), purpose="batch").id
    body = {"input_file_id": file_id, "endpoint": "/v1/chat/completions"}
    with running.http(client.api_key) as http, ThreadPoolExecutor(1) as caller:
        redis.freeze()
        asked = caller.submit(http.post, "/v1/batches", json={**body, "completion_window": "24h"})
        eventually(lambda: running.in_database(batches_of, file_id))
        api(running).stop(signal.SIGKILL)
        redis.thaw()
    running.start("api")
    return isinstance(asked.exception(), httpx.TransportError)


def test_a_batch_is_run_though_the_api_was_killed_before_it_could_tell_anybody(
    running: Service, client: OpenAI, redis: EmbeddedRedis
) -> None:
    eventually(lambda: killed_before_its_answer(running, client, redis))
    for batch in client.batches.list():
        check_whole(client, batch, 3)


def test_redis_may_be_away_for_longer_than_a_lease(
    running: Service, client: OpenAI, redis: EmbeddedRedis
) -> None:
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= 5)
    redis.stop(signal.SIGKILL)
    away_since = time.monotonic()
    try:
        later = submit(client, 5)
        client.chat.completions.create(**chat_body("Hello"))
        eventually(lambda: time.monotonic() - away_since > running.settings.lease_seconds)
    finally:
        redis.start()
    check_whole(client, batch, ITEMS)
    check_whole(client, later, 5)
    assert running.in_database(total, ItemRow.attempt, batch.id) == ITEMS
    assert running.in_database(total, ItemRow.attempt, later.id) == 5


def test_a_frozen_redis_holds_up_no_requests_and_costs_batches_nothing_but_time(
    running: Service, client: OpenAI, redis: EmbeddedRedis
) -> None:
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= 5)
    redis.freeze()
    try:
        started = time.monotonic()
        later = submit(client, 5)
        client.chat.completions.create(**chat_body("Hello"))
        assert time.monotonic() - started < running.settings.lease_seconds / 2
    finally:
        redis.thaw()
    check_whole(client, batch, ITEMS)
    check_whole(client, later, 5)
    assert running.in_database(total, ItemRow.attempt, batch.id) == ITEMS
