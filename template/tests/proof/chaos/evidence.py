"""What is left of a campaign when all its processes have ended: all that its oracle sees."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.batches.readiness import QUARANTINE
from engine.sql.statements import now
from engine.sql.tables import (
    BatchLaneRow,
    BatchRow,
    ItemRow,
    LeaseRow,
    UsageRow,
)
from engine.sql.tables.batches import OPEN_BATCH
from tests.proof.chaos.caller import Errand
from tests.proof.chaos.faults import Event
from tests.proof.chaos.model import Call
from tests.proof.machines.looks import Look

T = TypeVar("T")
TOLD = re.compile(r"[\w-]+ call-\d+")


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows in SQL."""

    batches: list[BatchRow]
    items: list[ItemRow]
    leases: int
    """Those that have not expired."""
    counted: int
    """Answers in the callers' usage."""


def read_rows(session: Session) -> Rows:
    """Return all rows that matter, each of which has been loaded."""
    living = select(func.count()).select_from(LeaseRow).where(LeaseRow.expires_at > now())
    return Rows(
        list(session.scalars(select(BatchRow))),
        list(session.scalars(select(ItemRow).order_by(ItemRow.id))),
        session.scalar(living) or 0,
        session.scalar(select(func.sum(UsageRow.requests))) or 0,
    )


def neglected(session: Session, lease: float) -> list[str]:
    """Return the lanes that are looked at too late, or may be claimed from a living worker.

    Asked by one statement, which sees one state of all tables.
    """
    is_open = ItemRow.batch_id == BatchLaneRow.batch_id, ItemRow.finished_at.is_(None)
    waiting = *is_open, ItemRow.status == "pending", ~ItemRow.alone
    rows = session.execute(
        select(
            BatchLaneRow,
            BatchRow,
            select(func.count()).where(*is_open).scalar_subquery(),
            select(func.min(ItemRow.not_before)).where(*waiting).scalar_subquery(),
            now(),
        )
        .join(BatchRow, BatchRow.id == BatchLaneRow.batch_id)
        .where(BatchRow.status.in_(OPEN_BATCH), BatchLaneRow.lane != QUARANTINE)
    )
    return [
        f"lane {lane.lane} of {batch.id}, {batch.status}: {items} items, due {due}, at {moment}:"
        f" ready {lane.ready} at {lane.ready_at}, alive at {lane.heartbeat_at}, {lane.caller_id}"
        for lane, batch, items, due, moment in rows
        if Look(batch.status, lane.ready, lane.ready_at, items, due).is_too_late(moment, lease)
        or (lane.ready and lane.heartbeat_at > moment - lease)
        or lane.caller_id != batch.caller_id
    ]


def awake(session: Session) -> list[str]:
    """Return the free lanes of ended batches that would be looked at."""
    ended = BatchRow.status.not_in(OPEN_BATCH), BatchLaneRow.heartbeat_at == 0.0
    lanes = select(BatchLaneRow).join(BatchRow, BatchRow.id == BatchLaneRow.batch_id).where(*ended)
    rows = session.scalars(lanes.where(BatchLaneRow.ready_at.is_not(None)))
    return [f"lane {lane.lane} of {lane.batch_id} has ended and is awake" for lane in rows]


@dataclass(frozen=True)
class Evidence:
    """Rows, calls, faults, and what callers and processes had to say."""

    seed: int
    rows: Rows
    calls: list[Call]
    events: list[Event] = field(default_factory=list)
    errands: list[Errand] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    """Of callers who gave up."""
    deaths: list[str] = field(default_factory=list)
    """Of programs that ended by themselves, or badly when they were asked to."""
    lanes: list[str] = field(default_factory=list)
    """Those that told something else of their work than a count, at some moment."""
    postgres_log: str = ""
    in_flight: int = 10
    """Items of one batch that may be in flight: lanes times chunk."""
    attempts: int = 3
    lease: float = 2.0

    @cached_property
    def calls_of(self) -> dict[str, list[Call]]:
        """The calls for each item."""
        return _grouped((call.item, call) for call in self.calls)

    @cached_property
    def rows_of(self) -> dict[str, list[ItemRow]]:
        """The rows of each item: one, unless its batch was made twice."""
        return _grouped((row.custom_id, row) for row in self.rows.items)

    @cached_property
    def batches(self) -> dict[str, BatchRow]:
        """The batches by their ids."""
        return {batch.id: batch for batch in self.rows.batches}

    def recorded(self, row: ItemRow) -> Call | None:
        """Return the call whose answer an item has ended with."""
        if row.status not in ("succeeded", "failed"):
            return None
        said = TOLD.search((row.response or b"").decode() or row.error_message or "")
        if said is None:
            return None
        calls = self.calls_of.get(row.custom_id, [])
        return next((call for call in calls if call.text == said[0]), None)

    def spare(self, item: str) -> Iterator[Call]:
        """Yield the calls for an item whose answers are in no row of it."""
        kept = [self.recorded(row) for row in self.rows_of.get(item, [])]
        yield from (call for call in self.calls_of[item] if call not in kept)

    def lost(self, item: str) -> list[Call]:
        """Return those of them that a fault took from their worker: they were in flight then."""
        return [
            call for call in self.spare(item) if any(map(partial(self._took, call), self.events))
        ]

    def _took(self, call: Call, event: Event) -> bool:
        in_time = event.began - 3 * self.lease < call.at < event.ended + self.lease
        return in_time and call.worker in event.hit


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    groups: dict[str, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return dict(groups)
