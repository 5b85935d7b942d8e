"""Jobs under workers that die, freeze, stop and come back, in every order that can be drawn.

The machine keeps books of its own: who runs which job, whose lease lives, what was counted and
announced. After each step the tables must say the same.
"""

import json
from collections import Counter
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any, Literal

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.errors import Conflict
from engine.jobs import jobs, runs
from engine.jobs.runs import ClaimedJob, JobOutcome, LostRunError
from engine.worker import reaper, schedules
from tests.proof.machines.features import counting, greeting
from tests.proof.machines.machine import ANY, LEASE, MOST_CRASHES, allow_everything, store
from tests.proof.machines.store import CALLER, WEBHOOKS

MINUTE = 60
EACH_MINUTE = replace(greeting.JOB, cron="* * * * *")
CANCELLED = ("cancelling", "cancelled", "succeeded")
"""What a job may be that a caller has cancelled: one that has succeeded all the same stays so."""

KINDS = {each.name: each for each in (counting.JOB, EACH_MINUTE)}
NAMES = tuple(KINDS)

Ending = Literal["succeeded", "failed", "cancelled", "expired", "again", "stopped"]
ENDINGS = st.sampled_from(("succeeded", "failed", "cancelled", "expired", "again", "stopped"))


class JobMachine(RuleBasedStateMachine):
    """What workers, callers and time can do to jobs."""

    def __init__(self) -> None:
        super().__init__()
        allow_everything(self)
        self.store = store()
        self.store.empty()
        self.owners = (f"lease_{number}" for number in count())
        self.mine: list[str] = []
        self.running: list[ClaimedJob] = []
        self.claims: list[ClaimedJob] = []
        self.leases: dict[str, float] = {}
        self.held: dict[str, tuple[int, str]] = {}
        self.errors: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()
        self.cancelled: set[str] = set()
        self.ended: dict[str, SimpleNamespace] = {}
        self.announced: set[tuple[str, str]] = set()
        self.tick: float | None = None
        self.ticks = 0

    # Callers and time

    @initialize()
    def begin(self) -> None:
        self.submit(1000)
        self.claim(scheduled=False)
        self.start_due()

    @precondition(lambda self: len(self.mine) < 3)
    @rule(seconds=st.sampled_from((15, 1000)))
    def submit(self, seconds: int) -> None:
        job = replace(counting.JOB, seconds=seconds)
        subject = counting.Counting(numbers=3)
        shown = self.store.write(jobs.submit_job, CALLER, job, subject, request_id="req_a")
        self.mine.append(shown.id)

    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        job_id = self.mine[which % len(self.mine)]
        ended = job_id in self.ended and self.ended[job_id].status != "cancelled"
        try:
            self.store.write(jobs.cancel_job, CALLER, job_id)
        except Conflict:
            assert ended
        else:
            assert not ended
            self.cancelled.add(job_id)

    @precondition(lambda self: self.ended)
    @rule(which=ANY)
    def retry(self, which: int) -> None:
        job_id = self.mine[which % len(self.mine)]
        unsuccessful = job_id in self.ended and self.ended[job_id].status != "succeeded"
        try:
            self.store.write(jobs.retry_job, CALLER, job_id, KINDS)
        except Conflict:
            assert not unsuccessful
        else:
            assert unsuccessful
            del self.ended[job_id], self.errors[job_id], self.crashes[job_id]
            self.cancelled.discard(job_id)
            self.announced = {end for end in self.announced if end[1] != job_id}

    @rule(seconds=st.sampled_from((4, 11, 61)))
    def wait(self, seconds: int) -> None:
        self.store.time += seconds

    # Workers

    @rule(scheduled=st.booleans())
    def claim(self, scheduled: bool) -> None:
        owner = next(self.owners)
        job = self.store.write(runs.claim_job, owner, LEASE, NAMES, scheduled=scheduled)
        if job is not None:
            assert job.id not in self.held
            self.held[job.id] = (job.attempt, owner)
            self.leases[owner] = self.store.time + LEASE
            self.running.append(job)
            self.claims.append(job)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 20))
    def report(self, which: int) -> None:
        """Let whoever has ever claimed a job say how far it is."""
        job = self.claims[-1 - which % len(self.claims)]
        try:
            self.store.write(runs.report_progress, job.id, job.owner, signed(job))
        except LostRunError:
            assert not self._holds(job)
        else:
            assert self._holds(job)

    @precondition(lambda self: self.running)
    @rule(which=ANY, ending=ENDINGS)
    def record(self, which: int, ending: Ending) -> None:
        self._record(self.running.pop(which % len(self.running)), ending)

    @precondition(lambda self: self.claims)
    @rule(which=st.integers(0, 20), ending=ENDINGS)
    def record_late(self, which: int, ending: Ending) -> None:
        """Let whoever has ever claimed a job write what came of it, perhaps once more."""
        self._record(self.claims[-1 - which % len(self.claims)], ending)

    @precondition(lambda self: self.running)
    @rule(which=ANY)
    def renew(self, which: int) -> None:
        job = self.running[which % len(self.running)]
        status = self.store.write(runs.renew_job, job.id, job.owner, LEASE)
        assert (status is not None) == self._alive(job.owner)
        if status is not None:
            self.leases[job.owner] = self.store.time + LEASE

    @precondition(lambda self: self.running)
    @rule(which=ANY)
    def crash(self, which: int) -> None:
        self.running.pop(which % len(self.running))

    @rule()
    def sweep(self) -> None:
        lost = [job_id for job_id, (_, owner) in self.held.items() if not self._alive(owner)]
        self.store.write(reaper.recover_work, lease_seconds=LEASE, most_crashes=MOST_CRASHES)
        for job_id in lost:
            del self.held[job_id]
            self.crashes[job_id] += 1

    @rule()
    def start_due(self) -> None:
        self.store.write(schedules.start_due, [EACH_MINUTE, counting.JOB])
        tick = self.store.time // MINUTE
        self.ticks += self.tick is not None and tick > self.tick
        self.tick = tick

    # What always holds

    @invariant()
    def the_books_are_right(self) -> None:
        rows = self.store.rows("SELECT * FROM jobs")
        active = {row.id: row for row in rows if row.status in runs.RUNNING}
        assert {row.id: (row.attempt, row.owner) for row in active.values()} == self.held
        assert sum(row.scheduled for row in rows) == self.ticks
        for row in rows:
            assert (row.owner is None) == (row.id not in active)
            assert (row.errors, row.crashes) == (self.errors[row.id], self.crashes[row.id])
            self._check_attribution(row)
            self._check_end(row)
        self._check_announcements()

    def teardown(self) -> None:
        """Let all workers die: those that come after them bring everything to an end."""
        self.running.clear()
        for _ in range(2):
            self.wait(61)
            self.sweep()
            for scheduled in (False, True):
                self._work_off(scheduled)
        ends = {row.status for row in self.store.rows("SELECT status FROM jobs")}
        assert ends <= set(jobs.FINAL)

    def _work_off(self, scheduled: bool) -> None:
        self.claim(scheduled)
        while self.running:
            self.record(0, "succeeded")
            self.the_books_are_right()
            self.claim(scheduled)

    def _holds(self, job: ClaimedJob) -> bool:
        return self.held.get(job.id) == (job.attempt, job.owner)

    def _alive(self, owner: str) -> bool:
        return self.leases.get(owner, 0.0) > self.store.time

    def _record(self, job: ClaimedJob, ending: Ending) -> None:
        holds = self._holds(job)
        assert self.store.write(runs.record_job, job, outcome(job, ending)) == holds
        self.leases.pop(job.owner, None)
        if holds:
            del self.held[job.id]
            self.errors[job.id] += ending in {"failed", "expired", "again"}

    def _check_attribution(self, row: SimpleNamespace) -> None:
        known = [signed(job) for job in self.claims if job.id == row.id]
        for written in (row.progress, row.result):
            assert written is None or json.loads(written) in known
        if row.status == "succeeded":
            assert json.loads(row.result)["attempt"] == row.attempt
        else:
            assert row.result is None

    def _check_end(self, row: SimpleNamespace) -> None:
        assert (row.finished_at is None) == (row.status not in jobs.FINAL)
        assert row.id not in self.cancelled or row.status in CANCELLED
        if row.status not in jobs.FINAL:
            assert row.id not in self.ended
            return
        assert self.ended.setdefault(row.id, row) == row
        if row.caller_id is not None:
            self.announced.add((f"job.{row.status}", row.id))

    def _check_announcements(self) -> None:
        query = "SELECT webhook_id, event, subject_id FROM webhook_deliveries"
        rows = [(row.webhook_id, row.event, row.subject_id) for row in self.store.rows(query)]
        expected = [(webhook_id, *end) for webhook_id in WEBHOOKS for end in self.announced]
        assert sorted(rows) == sorted(expected)


def signed(job: ClaimedJob) -> dict[str, Any]:
    """Return what this attempt writes and no other does."""
    return {"job": job.id, "attempt": job.attempt, "owner": job.owner}


def outcome(job: ClaimedJob, ending: Ending) -> JobOutcome:
    """Return an outcome that says whose it is."""
    match ending:
        case "succeeded":
            return JobOutcome("succeeded", result=signed(job))
        case "stopped":
            return JobOutcome("queued")
        case "cancelled":
            return JobOutcome("cancelled")
        case "again":
            return JobOutcome("queued", error_code="broken", delay=3.0)
        case _:
            return JobOutcome(ending, error_code="broken")
