"""A batch of the tests: submitted, followed, checked at its end."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from openai import OpenAI
from openai.types import Batch
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from engine.sql.statements import now
from engine.sql.tables import ItemRow, LeaseRow
from tests.lines import chats
from tests.service import Service, eventually, service

LANES, CHUNK = 2, 5
ITEMS = 60
LEASE = 4
"""Seconds. At a load of 14 on two processors a worker stood still for 2 s, and lost its items."""


def submit(client: OpenAI, items: int) -> Batch:
    """Return a new batch of chats, with the ids item-0, item-1, …"""
    file = client.files.create(file=("in.jsonl", chats(items)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def completed(client: OpenAI, batch: Batch) -> int:
    """Return how many items have succeeded."""
    counts = client.batches.retrieve(batch.id).request_counts
    return counts.completed if counts else 0


def check_whole(client: OpenAI, batch: Batch, items: int) -> None:
    """Wait for the end; each item must have its one answer."""
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    end = client.batches.retrieve(batch.id)
    assert end.request_counts
    assert (end.request_counts.completed, end.request_counts.failed) == (items, 0)
    assert end.output_file_id
    answers = client.files.content(end.output_file_id).text.splitlines()
    expected = sorted(f"item-{number}" for number in range(items))
    assert sorted(json.loads(answer)["custom_id"] for answer in answers) == expected


def total(session: Session, column: InstrumentedAttribute[int], batch_id: str) -> int:
    """Return the sum of a column over the items of a batch."""
    return session.scalar(select(func.sum(column)).where(ItemRow.batch_id == batch_id)) or 0


def open_leases(session: Session) -> int:
    """Return how many leases are held."""
    living = select(func.count()).select_from(LeaseRow).where(LeaseRow.expires_at > now())
    return int(session.scalar(living) or 0)


def all_frozen_with_items(service: Service) -> bool:
    """Freeze the workers; let them go on where nothing is in flight in that moment."""
    for worker in service.workers():
        service.freeze(worker)
    running = select(func.count()).where(ItemRow.status == "running")
    if service.in_database(lambda session: session.scalar(running)):
        return True
    for worker in service.workers():
        worker.process.send_signal(signal.SIGCONT)
    return False


@contextmanager
def slow_service(folder: Path, redis_url: str, server: str | None) -> Iterator[Service]:
    """Yield a service whose items take a while and whose leases are short; no worker runs yet."""
    with service(
        folder,
        redis_url,
        server,
        lease_seconds=LEASE,
        sweep_seconds=0.2,
        batch_lanes=LANES,
        batch_chunk=CHUNK,
        simulated_latency=0.2,
        shutdown_grace=5,
    ) as running:
        running.start("api")
        yield running
