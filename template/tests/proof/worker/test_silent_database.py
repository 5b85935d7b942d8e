"""A database that takes questions and gives no answers holds no work up for ever.

Callers are told so, workers stop what they no longer hold, probes tell which of them cannot work,
and all goes on when the database answers again.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import APIStatusError, OpenAI
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.sql.tables import ItemRow
from tests.jobs.batches import check_whole, submit, total
from tests.proof.machines.silence import Wire, wire_to
from tests.service import Service, eventually, free_port, service

LANES, CHUNK = 2, 5
ITEMS = LANES * CHUNK
"""All in flight at once."""
SETTINGS: dict[str, Any] = {
    "lease_seconds": 3,
    "sweep_seconds": 0.2,
    "database_timeout": 1,
    "batch_lanes": LANES,
    "batch_chunk": CHUNK,
    "key_cache_seconds": 600,
}
LONG = SETTINGS | {"simulated_latency": 6}
"""Calls of the model are still at work when the lease is over."""

LOST = "is lost: it was last renewed"


@pytest.fixture
def wired(postgres_url: str) -> Iterator[tuple[Wire, str]]:
    with wire_to(postgres_url) as wire:
        yield wire


@pytest.fixture
def ready(wired: tuple[Wire, str], redis_url: str, tmp_path: Path) -> Iterator[Service]:
    port = free_port()
    with service(tmp_path, redis_url, wired[1], worker_metrics_port=port, **LONG) as running:
        running.start("api", "worker")
        yield running
        wired[0].mend()


def running_items(session: Session) -> int:
    running = select(func.count()).where(ItemRow.status == "running")
    return session.scalar(running) or 0


def probe(service: Service, path: str) -> int:
    port = service.settings.worker_metrics_port
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=30).status_code


def check_told(service: Service, key: str) -> None:
    """A caller hears in time that the database does not serve, and when to ask again."""
    with service.http(key) as http:
        answer = http.get("/v1/batches")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    log = service.programs[0].text()
    assert log.count(" has no data: ") == 1
    assert "Traceback" not in log


def test_a_silent_database_holds_nobody_up(ready: Service, wired: tuple[Wire, str]) -> None:
    wire, key = wired[0], ready.new_key()
    worker = ready.workers()[0]
    with ready.client(key) as client:
        batch = submit(client, ITEMS)
        eventually(lambda: ready.in_database(running_items) == ITEMS)
        assert [probe(ready, path) for path in ("/live", "/ready")] == [200, 200]
        wire.cut()
        check_told(ready, key)
        eventually(lambda: worker.text().count(LOST) == LANES)
        eventually(lambda: probe(ready, "/ready") == 503)
        assert probe(ready, "/live") == 200  # it would find no better database elsewhere
        wire.mend()
        check_whole(client, batch, ITEMS)
        eventually(lambda: probe(ready, "/ready") == 200)
    assert ready.in_database(total, ItemRow.attempt, batch.id) == 2 * ITEMS


def test_the_lock_of_a_frozen_worker_is_told_of(redis_url: str, tmp_path: Path) -> None:
    """On SQLite nobody can take it away: callers and workers are told, and go on after it."""
    with service(tmp_path, redis_url, **SETTINGS) as ready:
        ready.start("api", "worker")
        with ready.client(ready.new_key(), max_retries=0) as client:
            check_whole(client, submit(client, 1), 1)  # its key is known from now on
            with closing(sqlite3.connect(tmp_path / "app.db")) as frozen:
                frozen.execute("BEGIN IMMEDIATE")
                check_refused(client)
                eventually(lambda: "database is locked" in ready.workers()[0].text())
            check_whole(client, submit(client, 3), 3)


def check_refused(client: OpenAI) -> None:
    with pytest.raises(APIStatusError) as caught:
        submit(client, 1)
    assert (caught.value.status_code, caught.value.code) == (503, "service_unavailable")
