"""A worker is killed or stopped in mid-batch: nothing is lost, nothing is doubled."""

import signal
from collections.abc import Iterator

import pytest
from openai import OpenAI

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
from tests.service import Service, eventually


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
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


def test_a_killed_worker_repeats_only_what_was_in_flight(slow: Service, client: OpenAI) -> None:
    worker = slow.start("worker")
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    eventually(lambda: all_frozen_with_items(slow))
    worker.stop(signal.SIGKILL)
    slow.start("worker")
    check_whole(client, batch, ITEMS)
    repeated = slow.in_database(total, ItemRow.attempt, batch.id) - ITEMS
    assert 0 < repeated <= LANES * CHUNK
    assert slow.in_database(total, ItemRow.crashes, batch.id) == repeated


def test_a_stopped_worker_repeats_nothing(slow: Service, client: OpenAI) -> None:
    worker = slow.start("worker")
    batch = submit(client, ITEMS)
    eventually(lambda: completed(client, batch) >= ITEMS // 3)
    assert worker.stop() == 0
    assert slow.in_database(open_leases) == 0
    slow.start("worker")
    check_whole(client, batch, ITEMS)
    assert slow.in_database(total, ItemRow.attempt, batch.id) == ITEMS
    assert slow.in_database(total, ItemRow.crashes, batch.id) == 0
