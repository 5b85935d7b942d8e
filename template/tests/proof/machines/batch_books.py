"""Books of what the tables of batches must say, kept without looking at these."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Literal

import pytest

from engine.batches import batch_output, batches
from engine.batches.items import ClaimedItem, ItemOutcome
from engine.batches.lanes import LaneHold
from engine.batches.readiness import QUARANTINE
from tests.proof.machines.looks import A_LITTLE, Look
from tests.proof.machines.machine import LEASE
from tests.proof.machines.store import WEBHOOKS, Store

OPEN = ("pending", "running")
EDGES = {
    "validating": {"in_progress", "failed", "cancelling", "finalizing"},
    "in_progress": {"cancelling", "finalizing"},
    "cancelling": {"finalizing"},
    "finalizing": {"completed", "expired", "cancelled"},
}

Ending = Literal["succeeded", "failed", "pending"]
Written = tuple[int, int, Ending]
"""An item, the attempt at it and what came of that."""


class Books:
    """Who holds which item, whose lease lives, what was counted."""

    def __init__(self, store: Store) -> None:
        self.claims: list[tuple[LaneHold, int, int]] = []
        """Each hold with an item and the attempt at it, whatever became of that."""
        self.status: dict[str, str] = {}
        self._store = store
        self._leases: dict[str, tuple[LaneHold, float]] = {}
        self._held: dict[int, tuple[int, str]] = {}
        self._charged = 0
        self._errors: Counter[int] = Counter()
        self._crashes: Counter[int] = Counter()
        self._ended: dict[int, SimpleNamespace] = {}

    def alive(self, hold: LaneHold) -> bool:
        """Whether its lease lives."""
        return hold.owner in self._leases and self._leases[hold.owner][1] > self._store.time

    def lost(self) -> list[int]:
        """Return the items whose holders have died."""
        return [
            item
            for item, (_, owner) in self._held.items()
            if owner not in self._leases or self._leases[owner][1] <= self._store.time
        ]

    def renew(self, hold: LaneHold) -> None:
        """Note that its lease begins anew."""
        self._leases[hold.owner] = (hold, self._store.time + LEASE)

    def claim(self, hold: LaneHold, claimed: Sequence[ClaimedItem]) -> None:
        """Note who has these items now, which nobody may have had."""
        if hold.lane == QUARANTINE and claimed:
            assert all(each.alone for each in self._open(hold.batch_id))
        for item in claimed:
            assert item.id not in self._held
            self._held[item.id] = (item.attempt, hold.owner)
            self.claims.append((hold, item.id, item.attempt))

    def record(self, hold: LaneHold, group: Sequence[Written]) -> int:
        """Note what was written; return how many of it had to be accepted."""
        good = [each for each in group if self._held.get(each[0]) == (each[1], hold.owner)]
        for item_id, _, ending in good:
            del self._held[item_id]
            self._charged += 1
            self._errors[item_id] += ending != "succeeded"
        return len(good)

    def crash(self, lost: Sequence[int]) -> None:
        """Note that these items were put back."""
        for item_id in lost:
            del self._held[item_id]
            self._crashes[item_id] += 1
            query = f"""
                SELECT ready FROM batch_lanes JOIN batch_items USING (batch_id)
                WHERE batch_items.id = {item_id} AND lane != {QUARANTINE} AND heartbeat_at = 0
            """
            assert all(lane.ready for lane in self._store.rows(query))

    def leave(self, hold: LaneHold) -> None:
        """Note that this holder has given everything back."""
        self._leases.pop(hold.owner, None)
        self._held = {item: by for item, by in self._held.items() if by[1] != hold.owner}
        self._check_alone(hold)

    def check(self) -> None:
        """Compare all that is in the tables."""
        self._check_items()
        self._check_batches()
        self._check_lanes()
        [caller] = self._store.rows("SELECT virtual_time FROM callers")
        assert caller.virtual_time == self._charged
        living = [hold for hold, _ in self._leases.values() if self.alive(hold)]
        assert len({(hold.batch_id, hold.lane) for hold in living}) == len(living)

    def _check_items(self) -> None:
        rows = self._store.rows("SELECT * FROM batch_items")
        running = {row.id: (row.attempt, row.owner) for row in rows if row.status == "running"}
        assert running == self._held
        owners = {(item_id, attempt): hold.owner for hold, item_id, attempt in self.claims}
        for row in rows:
            assert (row.errors, row.crashes) == (self._errors[row.id], self._crashes[row.id])
            assert (row.owner is None) == (row.status != "running")
            assert (row.finished_at is None) == (row.status in OPEN)
            if row.status not in OPEN:
                assert self._ended.setdefault(row.id, row) == row
            says = sign(row.id, row.attempt, owners.get((row.id, row.attempt)))
            assert row.response == (says.encode() if row.status == "succeeded" else None)
            assert (row.status, row.error_code) != ("failed", "broken") or row.error_message == says
        assert self._ended.keys() <= {row.id for row in rows}

    def _check_batches(self) -> None:
        query = "SELECT batch_id, status, count(*) AS number FROM batch_items GROUP BY 1, 2"
        numbers = {(row.batch_id, row.status): row.number for row in self._store.rows(query)}
        for batch in self._store.rows("SELECT * FROM batches"):
            assert batch.completed == numbers.get((batch.id, "succeeded"), 0)
            assert batch.failed == numbers.get((batch.id, "failed"), 0)
            before = self.status.setdefault(batch.id, "validating")
            assert batch.status == before or batch.status in EDGES.get(before, set())
            self.status[batch.id] = batch.status
            if batch.status == "completed":
                assert batch.completed + batch.failed == batch.total
            if batch.status in batches.FINAL:
                assert not any(numbers.get((batch.id, status)) for status in OPEN)

    def _open(self, batch_id: str) -> list[SimpleNamespace]:
        query = f"SELECT * FROM batch_items WHERE batch_id = '{batch_id}' AND finished_at IS NULL"
        return self._store.rows(query)

    def _check_lanes(self) -> None:
        """Count anew, from batches and items, what each lane says of its work."""
        leases = self._leases.values()
        living = {(hold.batch_id, hold.lane): until for hold, until in leases if self.alive(hold)}
        query = """
            SELECT batch_lanes.*, batches.status, batches.caller_id AS callers
            FROM batch_lanes JOIN batches ON batches.id = batch_id
        """
        for lane in self._store.rows(query):
            assert lane.caller_id == lane.callers
            assert not lane.ready or lane.ready_at <= self._store.time + A_LITTLE
            until = living.get((lane.batch_id, lane.lane))
            if lane.status in batches.FINAL:
                assert lane.heartbeat_at or (lane.ready, lane.ready_at) == (False, None)
            elif until is not None:
                assert (lane.ready, lane.ready_at) == (False, pytest.approx(until, abs=A_LITTLE))
            elif lane.lane != QUARANTINE:
                self._check_lane(lane, self._open(lane.batch_id))

    def _check_lane(self, lane: SimpleNamespace, items: list[SimpleNamespace]) -> None:
        """A lane that nobody holds is looked at when its next item is due, or within one lease."""
        due = [each.not_before for each in items if each.status == "pending" and not each.alone]
        first = min(due, default=None)
        look = Look(lane.status, lane.ready, lane.ready_at, len(items), first)
        assert not look.is_too_late(self._store.time, LEASE)

    def _check_alone(self, hold: LaneHold) -> None:
        """Who gives a lane back and leaves only items that run alone has woken their lane."""
        left = {(each.status, bool(each.alone)) for each in self._open(hold.batch_id)}
        query = f"SELECT * FROM batch_lanes WHERE batch_id = '{hold.batch_id}'"
        lanes = {lane.lane: lane for lane in self._store.rows(query)}
        mine = lanes[hold.lane].generation == hold.generation and hold.lane != QUARANTINE
        if mine and self.status[hold.batch_id] == "in_progress" and left == {("pending", True)}:
            assert lanes[QUARANTINE].ready or lanes[QUARANTINE].heartbeat_at

    def check_announcements(self) -> None:
        """Compare what is owed to the caller's webhooks with the ends that there were."""
        query = "SELECT webhook_id, event, subject_id FROM webhook_deliveries"
        owed = [(row.webhook_id, row.event, row.subject_id) for row in self._store.rows(query)]
        ends = [(f"batch.{end}", batch_id) for batch_id, end in self.status.items()]
        assert sorted(owed) == sorted((webhook_id, *end) for webhook_id in WEBHOOKS for end in ends)

    def check_files(self) -> None:
        """Compare the files of the ended batches with what their items say."""
        for batch in self._store.rows("SELECT * FROM batches"):
            files = self._store.rows(f"SELECT * FROM files WHERE batch_id = '{batch.id}'")
            output, errors = sizes(self._store, batch.id)
            shown = {batch.output_file_id: output, batch.error_file_id: errors}
            made = {file.id: file.bytes for file in files}
            if batch.status in batches.FINAL:
                assert made == {file_id: size for file_id, size in shown.items() if file_id or size}


def sizes(store: Store, batch_id: str) -> tuple[int, int]:
    """Return how many bytes a batch puts out, as answers and as errors."""
    output, _ = store.write(batch_output.output_lines, batch_id, batch_output.OUTPUT, 0)
    errors, _ = store.write(batch_output.output_lines, batch_id, batch_output.ERRORS, 0)
    return len(output), len(errors)


def sign(item_id: int, attempt: int, owner: str | None) -> str:
    """Return what this attempt writes and no other does."""
    return f'"{item_id} {attempt} {owner}"'


def outcome(hold: LaneHold, item_id: int, attempt: int, ending: Ending) -> ItemOutcome:
    """Return an outcome that says whose it is."""
    says = sign(item_id, attempt, hold.owner)
    if ending == "succeeded":
        return ItemOutcome(item_id, attempt, ending, response=says.encode())
    delay = 0.0 if attempt % 2 else 3 * LEASE
    return ItemOutcome(
        item_id, attempt, ending, error_code="broken", error_message=says, delay=delay
    )
