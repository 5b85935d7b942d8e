"""Callers who contend for the lanes of one worker, and the order in which their items run."""

from collections import Counter
from itertools import count

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.resources.lifespan import all_operations
from engine.batches import (
    batch_input,
    batches,
    files,
    finalise,
    items,
    lanes,
)
from engine.batches.batch_input import NewItem
from engine.batches.items import ItemOutcome
from engine.batches.lanes import LaneHold, Terms
from engine.callers import keys
from engine.models.interface import Usage
from engine.sql.tables import BatchRow, CallerRow

CHUNK = 10
"""Items that a drain runs in one turn."""

MOST_TURNS = 150

LEASE = 1000.0


class Contest:
    """A worker with so many slots for lanes. `run` counts each caller's items that have run."""

    def __init__(self, session: Session, *, slots: int = 2, lanes_per_caller: int = 100) -> None:
        self.run: Counter[str] = Counter()
        self.holds: list[LaneHold | None] = [None] * slots
        self._session = session
        self._lanes_per_caller = lanes_per_caller
        self._tokens: dict[str, int] = {}
        self._lines: dict[str, int] = {}
        self._owners = (f"lease_{number}" for number in count())

    def join(self, name: str, *, weight: float = 1, priority: int = 0, tokens: int = 1) -> str:
        """Return the id of a new caller each of whose items costs so many tokens."""
        keys.create_key(self._session, name, weight=weight, priority=priority)
        found = select(CallerRow.id).where(CallerRow.name == name)
        caller_id = self._session.scalars(found).one()
        self._tokens[caller_id] = tokens
        return caller_id

    def submit(self, caller_id: str, lines: int, number: int = 1) -> str:
        """Create batches of so many lines; return the id of the last."""
        batch_id = ""
        for _ in range(number):
            file_id = files.begin_file(self._session, caller_id, filename="in", purpose="batch")
            files.finish_file(self._session, caller_id, file_id)
            batch = batches.create_batch(
                self._session,
                caller_id,
                endpoint="/v1/embeddings",
                input_file_id=file_id,
                completion_window="24h",
                metadata=None,
                operations=all_operations(),
                flags=(),
                request_id="req_a",
            )
            batch_id = batch.id
            self._lines[batch_id] = lines
        return batch_id

    def go_on(self, turns: int = 1) -> None:
        """Let each slot have so many turns."""
        for _ in range(turns):
            for slot, hold in enumerate(self.holds):
                self.holds[slot] = self._turn(hold)

    def until(self, caller_id: str, items_run: int) -> None:
        """Go on until so many of a caller's items have run."""
        for _ in range(MOST_TURNS):
            if self.run[caller_id] >= items_run:
                return
            self.go_on()
        raise AssertionError(f"{caller_id} is not served: {self.run}")

    def run_meanwhile(self, caller_id: str, turns: int) -> Counter[str]:
        """Return whose items run in so many turns of each slot, of which this caller has some."""
        before = self.run.copy()
        self.go_on(turns)
        assert self.run[caller_id] > before[caller_id]
        return self.run - before

    def holders(self) -> list[str]:
        """Return the caller of each lane that is held."""
        held = [hold.batch_id for hold in self.holds if hold]
        return [self._session.get_one(BatchRow, batch_id).caller_id for batch_id in held]

    def _turn(self, hold: LaneHold | None) -> LaneHold | None:
        if hold and lanes.is_contended(self._session, hold, self._terms(), 0):
            self._leave(hold)
            hold = None
        hold = hold or lanes.claim_lane(self._session, next(self._owners), self._terms())
        if hold and not self._work(hold):
            finalise.cut_off(self._session, hold.batch_id)
            if finalise.begin_finalising(self._session, hold.batch_id):
                finalise.finish_batch(self._session, hold.batch_id, 0, 0)
            self._leave(hold)
            hold = None
        self._session.flush()
        self._session.expire_all()
        return hold

    def _work(self, hold: LaneHold) -> bool:
        """Take lines in or run items; return whether there was anything to do."""
        work = batches.find_work(self._session, hold.batch_id)
        if work.status == "validating":
            lines = self._lines[hold.batch_id]
            new = [NewItem(seq, f"item-{seq}", b"{}") for seq in range(lines)]
            batch_input.add_items(self._session, hold, new)
            batch_input.accept_input(self._session, hold, lines, 2)
            return True
        claimed = items.claim_items(self._session, hold, CHUNK)
        used = Usage(self._tokens[work.caller_id], 0)
        done = [ItemOutcome(item.id, item.attempt, "succeeded", b"{}", used) for item in claimed]
        self.run[work.caller_id] += items.record_items(self._session, hold, work.caller_id, done)
        return bool(claimed)

    def _leave(self, hold: LaneHold) -> None:
        items.give_back(self._session, hold)
        lanes.release_lane(self._session, hold, LEASE, at_once=True)

    def _terms(self) -> Terms:
        held = Counter(hold.batch_id for hold in self.holds if hold)
        return Terms(LEASE, lanes_per_batch=2, lanes_per_caller=self._lanes_per_caller, held=held)
