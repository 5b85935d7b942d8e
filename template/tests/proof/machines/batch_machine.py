"""Batches under workers that die, freeze, stop and come back, in every order that can be drawn."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from app.resources.lifespan import all_operations
from engine.batches import batch_input, batches, finalise, items, lanes
from engine.batches.batch_input import NewItem
from engine.batches.items import ClaimedItem
from engine.batches.lanes import LaneHold, LostLaneError, Terms
from engine.callers import fairness
from engine.errors import Conflict
from engine.worker import reaper
from tests.proof.machines.batch_books import Books, Ending, Written, outcome, sizes
from tests.proof.machines.machine import ANY, BEAT, LEASE, MOST_CRASHES, allow_everything, store
from tests.proof.machines.store import CALLER, INPUT, expire_at

LANES = 2
TERMS = Terms(LEASE, lanes_per_batch=LANES, lanes_per_caller=9, held={})
ENDINGS = st.sampled_from(("succeeded", "failed", "pending"))


@dataclass(eq=False)
class Drain:
    """A process that works on a lane, or believes so."""

    hold: LaneHold
    intake: Iterator[None]
    flight: list[ClaimedItem] = field(default_factory=list)
    frozen: bool = False


class BatchMachine(RuleBasedStateMachine):
    """What workers, callers and time can do to batches."""

    def __init__(self) -> None:
        super().__init__()
        allow_everything(self)
        self.store = store()
        self.store.empty()
        self.books = Books(self.store)
        self.owners = (f"lease_{number}" for number in count())
        self.lines: dict[str, int] = {}
        self.drains: list[Drain] = []
        self.begun: list[tuple[str, int, int]] = []
        self.patience = 0

    @invariant()
    def the_books_are_right(self) -> None:
        self.books.check()

    @initialize(lines=st.integers(2, 4), patience=st.integers(2, 12))
    def begin(self, lines: int, patience: int) -> None:
        """Let two workers begin. Callers wait before they cancel, or little would happen."""
        self.patience = patience
        self.open(lines)
        self.claim_lanes()
        for which in range(LANES):
            self.work(which, 1, [])

    def open(self, lines: int) -> None:
        """Let one worker take a batch in."""
        self.submit(lines, 1000)
        self.claim_lanes()
        for _ in range(3):
            self.work(0, 1, [])

    # Callers and time

    @precondition(lambda self: len(self.lines) < 2)
    @rule(lines=st.integers(0, 3), window=st.sampled_from((20, 1000)))
    def submit(self, lines: int, window: int) -> None:
        batch = self.store.write(
            batches.create_batch,
            CALLER,
            endpoint="/v1/embeddings",
            input_file_id=INPUT,
            completion_window="24h",
            metadata=None,
            operations=all_operations(),
            flags=(),
            request_id="req_a",
        )
        self.store.write(expire_at, batch.id, self.store.time + window)
        self.lines[batch.id] = lines

    @precondition(lambda self: len(self.books.claims) >= self.patience)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        self.patience *= 2
        batch_id = list(self.lines)[which % len(self.lines)]
        ended = self.books.status[batch_id] in set(batches.FINAL) - {"cancelled"}
        try:
            self.store.write(batches.cancel_batch, CALLER, batch_id)
        except Conflict:
            assert ended
        else:
            assert not ended

    def expire(self) -> None:
        """Let the time of all batches be over."""
        for batch_id in self.lines:
            self.store.write(expire_at, batch_id, self.store.time)

    @rule(beats=st.sampled_from((1, 3)), sweeping=st.booleans())
    def wait(self, beats: int, sweeping: bool) -> None:
        """Let time pass, in which the living renew their leases three times in each lease."""
        for _ in range(beats):
            self.store.time += BEAT
            for drain in [drain for drain in self.drains if not drain.frozen]:
                self._renew(drain)
        if sweeping:
            self._sweep()

    # Workers

    @precondition(lambda self: len(self.drains) < LANES)
    @rule()
    def claim_lanes(self) -> None:
        for _ in range(2 * LANES):
            hold = self.store.write(lanes.claim_lane, next(self.owners), TERMS)
            if hold is not None:
                self.books.renew(hold)
                self.drains.append(Drain(hold, self._intake(hold)))

    @precondition(lambda self: self.drains)
    @rule(which=ANY, limit=st.integers(1, 3), endings=st.lists(ENDINGS, min_size=1, max_size=3))
    def work(self, which: int, limit: int, endings: list[Ending]) -> None:
        """Go one transaction on: take in, record what is in flight, claim more, or settle."""
        drain = self.drains[which % len(self.drains)]
        try:
            next(drain.intake)
        except LostLaneError:
            self._leave(drain)
        except StopIteration:
            if drain.flight:
                self._record_some(drain, endings)
            elif not self._claim(drain, limit):
                self._settle(drain.hold.batch_id)

    @precondition(lambda self: self.drains)
    @rule(which=ANY)
    def try_again(self, which: int) -> None:
        """Let what is in flight fail, and begin it anew."""
        for _ in range(2):
            if self.drains:
                self.work(which, 3, ["pending", "pending", "pending"])
                self.books.check()

    @precondition(lambda self: self.drains)
    @rule(which=ANY)
    def pause(self, which: int) -> None:
        """Let a worker go on while batches are paused: it begins nothing."""
        begun = len(self.books.claims)
        self.store.write(fairness.pause_caller, None)
        self.work(which, 3, ["succeeded", "succeeded", "succeeded"])
        self.store.write(fairness.resume_caller, None)
        assert len(self.books.claims) == begun

    @precondition(lambda self: self.books.claims)
    @rule(which=ANY, ending=ENDINGS)
    def record_late(self, which: int, ending: Ending) -> None:
        """Let whoever has claimed an item write what came of it, late or once more."""
        hold, item_id, attempt = self.books.claims[-1 - which % len(self.books.claims)]
        self._record(hold, [(item_id, attempt, ending)])

    @precondition(lambda self: self.begun)
    @rule(which=ANY)
    def finish(self, which: int) -> None:
        self.store.write(finalise.finish_batch, *self.begun[which % len(self.begun)])

    @precondition(lambda self: self.drains)
    @rule(which=ANY, sweeping=st.booleans())
    def freeze(self, which: int, sweeping: bool) -> None:
        """Let one worker be silent for longer than its lease; then it goes on as if nothing was."""
        drain = self.drains[which % len(self.drains)]
        drain.frozen = True
        self.wait(3, sweeping)
        drain.frozen = False

    @precondition(lambda self: self.drains)
    @rule(which=ANY, gracefully=st.booleans())
    def end(self, which: int, gracefully: bool) -> None:
        drain = self.drains[which % len(self.drains)]
        if gracefully:
            self._leave(drain)
        else:
            self.drains.remove(drain)

    def teardown(self) -> None:
        """Let all workers die: those that come after them bring everything to an end."""
        self.drains.clear()
        for _ in range(5):
            self.wait(4, sweeping=True)
            self.claim_lanes()
            while self.drains:
                self._work_off(self.drains[-1])
        assert set(self.books.status.values()) <= set(batches.FINAL)
        self.books.check_files()
        self.books.check_announcements()

    def _work_off(self, drain: Drain) -> None:
        for _ in range(6):
            if drain in self.drains:
                self.work(-1, 10, ["succeeded"] * 10)
                self.books.check()
        if self.begun:
            self.finish(-1)
        self._leave(drain)
        self.books.check()

    def _record_some(self, drain: Drain, endings: list[Ending]) -> None:
        group, drain.flight = drain.flight[: len(endings)], drain.flight[len(endings) :]
        ended = zip(reversed(group), endings, strict=False)
        self._record(drain.hold, [(item.id, item.attempt, ending) for item, ending in ended])

    def _claim(self, drain: Drain, limit: int) -> list[ClaimedItem]:
        drain.flight = self.store.write(items.claim_items, drain.hold, limit)
        self.books.claim(drain.hold, drain.flight)
        return drain.flight

    def _settle(self, batch_id: str) -> None:
        self.store.write(finalise.cut_off, batch_id)
        if self.store.write(finalise.begin_finalising, batch_id):
            self.begun.append((batch_id, *sizes(self.store, batch_id)))

    def _renew(self, drain: Drain) -> None:
        status = self.store.write(lanes.renew_lane, drain.hold, LEASE)
        if self.books.alive(drain.hold):
            assert status == self.books.status[drain.hold.batch_id]
            self.books.renew(drain.hold)
        else:
            assert status is None
            self._leave(drain)

    def _sweep(self) -> None:
        lost = self.books.lost()
        self.store.write(reaper.recover_work, lease_seconds=LEASE, most_crashes=MOST_CRASHES)
        self.books.crash(lost)
        self.books.check()

    def _intake(self, hold: LaneHold) -> Iterator[None]:
        if self.store.write(batches.find_work, hold.batch_id).status != "validating":
            return
        lines = self.lines[hold.batch_id]
        yield self.store.write(batch_input.restart_input, hold)
        new = [NewItem(seq, f"item-{seq}", b"{}") for seq in range(lines)]
        yield self.store.write(batch_input.add_items, hold, new)
        if lines:
            yield self.store.write(batch_input.accept_input, hold, lines, LANES)
        else:
            yield self.store.write(batch_input.reject_input, hold, [])

    def _leave(self, drain: Drain) -> None:
        self.store.write(items.leave_lane, drain.hold, LEASE, at_once=True)
        self.books.leave(drain.hold)
        self.drains.remove(drain)

    def _record(self, hold: LaneHold, group: list[Written]) -> None:
        outcomes = [outcome(hold, *each) for each in group]
        accepted = self.store.write(items.record_items, hold, CALLER, outcomes)
        assert accepted == self.books.record(hold, group)
