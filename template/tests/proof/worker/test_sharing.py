"""Callers take turns on the lanes of real workers, and may be paused; nothing is run twice."""

from collections.abc import Iterator

import pytest
from openai import OpenAI
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.callers import fairness
from engine.sql.tables import BatchRow, CallerRow, ItemRow
from tests.jobs.batches import check_whole, completed, submit, total
from tests.proof.thorough import one_of_each
from tests.service import Service, eventually, service

CHUNK, ITEMS = 5, 60


@pytest.fixture(scope="module", params=one_of_each(["sqlite", "postgresql"], lambda _: "database"))
def shared(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Two workers with one lane each."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    with service(
        tmp_path_factory.mktemp("shared"),
        redis_url,
        url,
        sweep_seconds=0.1,
        worker_batches=1,
        batch_chunk=CHUNK,
        lane_seconds=0.2,
        simulated_latency=0.05,
    ) as running:
        running.start("api", "worker", "worker")
        yield running


def client_of(shared: Service, name: str) -> OpenAI:
    return shared.client(shared.new_key(name))


def in_flight(session: Session, caller: str) -> int:
    of_caller = select(func.count()).select_from(ItemRow).join(BatchRow).join(CallerRow)
    running = of_caller.where(CallerRow.name == caller, ItemRow.status == "running")
    return session.scalars(running).one()


def test_a_small_batch_does_not_wait_for_many_large_ones(shared: Service) -> None:
    with client_of(shared, "big") as big, client_of(shared, "small") as small:
        large = [submit(big, 3 * ITEMS) for _ in range(2)]

        def done() -> int:
            return sum(completed(big, batch) for batch in large)

        eventually(lambda: done() >= CHUNK)
        batch = submit(small, 10)
        before = done()
        check_whole(small, batch, 10)
        assert done() - before <= 3 * ITEMS, "small waits for a whole batch"
        for each in large:
            check_whole(big, each, 3 * ITEMS)
            assert shared.in_database(total, ItemRow.attempt, each.id) == 3 * ITEMS


def test_a_paused_caller_waits_also_for_workers_that_start_later(shared: Service) -> None:
    with client_of(shared, "paused") as paused, client_of(shared, "other") as other:
        batch = submit(paused, ITEMS)
        eventually(lambda: completed(paused, batch) >= CHUNK)
        shared.in_database(fairness.pause_caller, "paused")
        eventually(lambda: not shared.in_database(in_flight, "paused"))
        for worker in shared.workers():
            worker.stop()
        before = completed(paused, batch)
        shared.start("worker", "worker")
        check_whole(other, submit(other, 10), 10)
        assert CHUNK <= before == completed(paused, batch) < ITEMS
        shared.in_database(fairness.resume_caller, "paused")
        check_whole(paused, batch, ITEMS)
        assert shared.in_database(total, ItemRow.attempt, batch.id) == ITEMS
