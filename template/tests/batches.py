"""Batches for the tests: sent in by the official client, or put into the database half done."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from openai import OpenAI
from openai.types import Batch
from sqlalchemy.orm import Session

from engine.batches import items, lanes
from engine.batches.items import ItemOutcome
from engine.batches.lanes import LaneHold
from engine.callers import keys
from engine.sql.statements import new_id, now
from engine.sql.tables import BatchRow, ItemRow
from engine.work import leases
from tests.lines import CHAT_URL, chat_body
from tests.service import Service, eventually

ENDED = {"completed", "failed", "cancelled", "expired"}


def submit(client: OpenAI, content: bytes, endpoint: str = CHAT_URL) -> Batch:
    """Return a new batch of these lines."""
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]  # also this app's own URLs
        completion_window="24h",
    )


def ended(client: OpenAI, batch: Batch) -> Batch:
    """Return the batch once it has ended."""
    eventually(lambda: client.batches.retrieve(batch.id).status in ENDED)
    return client.batches.retrieve(batch.id)


def lines_of(client: OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    assert file_id
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]


@dataclass(frozen=True)
class HeldBatch:
    """A running batch all of whose items the test itself runs, instead of a worker."""

    service: Service
    caller_id: str
    hold: LaneHold

    @property
    def id(self) -> str:
        """Its id."""
        return self.hold.batch_id

    def record(self, *seqs: int, failed: bool = False, size: int = 0) -> None:
        """End the items with these numbers, in one transaction, with answers of this size."""
        self.service.in_database(self.write, seqs, failed=failed, size=size)

    def write(
        self, session: Session, seqs: Sequence[int], *, failed: bool = False, size: int = 0
    ) -> None:
        """Do so in this transaction."""
        found = session.query(ItemRow).filter(ItemRow.batch_id == self.id, ItemRow.seq.in_(seqs))
        ordered = found.order_by(ItemRow.seq)
        ends = [_failure(item) if failed else _success(item, size) for item in ordered]
        assert items.record_items(session, self.hold, self.caller_id, ends) == len(seqs)

    def let_expire(self) -> None:
        """Let the time of the batch be over, and workers see to it; what is open never runs."""
        self.service.in_database(self._let_expire)

    def close(self, status: str) -> None:
        """End the batch: what is open still is cut off."""
        self.service.in_database(self._close, status)

    def _let_expire(self, session: Session) -> None:
        session.get_one(BatchRow, self.id).expires_at = 0.0
        for item in session.query(ItemRow).filter_by(batch_id=self.id, finished_at=None):
            item.status, item.owner, item.not_before = "pending", None, 2.0**33
        lanes.open_lanes(session, session.get_one(BatchRow, self.id), range(1))

    def _close(self, session: Session, status: str) -> None:
        batch = session.get_one(BatchRow, self.id)
        batch.status = status
        open_items = session.query(ItemRow).filter_by(batch_id=self.id, finished_at=None)
        for item in open_items:
            item.status, item.owner, item.finished_at = status, None, now()


HoldBatch = Callable[[Service, str, int], HeldBatch]
"""Makes a running batch of so many items for the caller of this key."""


def _success(item: ItemRow, size: int) -> ItemOutcome:
    answer = {"n": item.seq, "padding": "x" * size}
    return ItemOutcome(item.id, item.attempt, "succeeded", response=json.dumps(answer).encode())


def _failure(item: ItemRow) -> ItemOutcome:
    return ItemOutcome(
        item.id, item.attempt, "failed", error_code="model_error", error_message="No."
    )


@contextmanager
def holding_batches() -> Iterator[HoldBatch]:
    """Yield what makes running batches that no worker takes, and give them up at the end."""
    held: list[HeldBatch] = []

    def hold_batch(service: Service, key: str, count: int) -> HeldBatch:
        held.append(_hold(service, key, count))
        return held[-1]

    try:
        yield hold_batch
    finally:
        for batch in held:
            batch.service.in_database(leases.end_lease, batch.hold.owner)


def _hold(service: Service, key: str, count: int) -> HeldBatch:
    """Return a running batch of `count` items without lanes, whose items are held already."""
    hold = LaneHold(new_id("batch"), 0, 0, owner=f"test_{uuid4().hex}")
    return HeldBatch(service, service.in_database(_insert, key, hold, count), hold)


def _insert(session: Session, key: str, hold: LaneHold, count: int) -> str:
    caller = keys.find_caller(session, key)
    assert caller
    leases.grant_lease(session, hold.owner, 3600)
    session.add(
        BatchRow(
            id=hold.batch_id,
            caller_id=caller.id,
            endpoint=CHAT_URL,
            input_file_id="file_gone",
            completion_window="24h",
            request_id="req_test",
            status="in_progress",
            total=count,
            completed=0,
            failed=0,
            created_at=now(),
            in_progress_at=now(),
            expires_at=now() + 86_400,
        )
    )
    session.flush()
    body = json.dumps(chat_body("Hello")).encode()
    for seq in range(count):
        row = {"batch_id": hold.batch_id, "seq": seq, "custom_id": f"item-{seq}", "body": body}
        session.add(ItemRow(**row, status="running", attempt=1, owner=hold.owner))
    return caller.id
