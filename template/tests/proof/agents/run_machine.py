"""Runs of agents under workers that die, freeze and come back, and humans who answer twice.

The machine keeps books of its own: which worker has the job of which run, which calls are begun and
ended, which requests have their answer. After each step the tables must say the same.
"""

import json
from itertools import count
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.agents import runs as agent_runs
from engine.agents import steps
from engine.agents.runs import AWAITED_RUN, BACKGROUND_RUN
from engine.agents.steps import CallEnd, Step, answer_step
from engine.errors import InvalidRequest
from engine.jobs import jobs, runs
from engine.jobs.runs import ClaimedJob, LostRunError
from engine.responses import background, event_log
from engine.responses.event_log import EventGroup
from engine.responses.schema import CONTINUED, FINAL, ResponseRequest
from engine.responses.transcript import Transcript, read_transcript
from engine.sql.statements import new_id
from engine.sql.tables import ResponseRow
from engine.worker import reaper
from tests.proof.machines.machine import ANY, LEASE, allow_everything, store
from tests.proof.machines.store import CALLER

KINDS = {kind.name: kind for kind in (AWAITED_RUN, BACKGROUND_RUN)}
MOST_CRASHES = 3
ENDED = ("done", "failed", "doubt", "denied")
Json = dict[str, Any]


class RunMachine(RuleBasedStateMachine):
    """What workers, callers and time can do to runs."""

    def __init__(self) -> None:
        super().__init__()
        allow_everything(self)
        self.store = store()
        self.store.empty()
        self.owners = (f"lease_{number}" for number in count())
        self.responses: list[str] = []
        self.claims: list[ClaimedJob] = []
        self.held: dict[str, str] = {}
        """Owner by job."""
        self.leases: dict[str, float] = {}
        self.keys: dict[str, str] = {}
        self.ends: dict[str, Step] = {}
        self.finals: dict[str, tuple[str, bytes]] = {}
        self.answered: set[str] = set()
        self.begun: set[str] = set()

    # Callers and time

    @initialize()
    def begin(self) -> None:
        self._start([])
        self.claim()
        self.plan(0, calls=2, approvals=1)

    @precondition(lambda self: self._last().status in CONTINUED)
    @rule()
    def go_on(self) -> None:
        self._start([{"role": "user", "content": "Go on."}])

    @precondition(lambda self: self._last().status in CONTINUED)
    @rule(which=ANY, approve=st.booleans(), twice=st.booleans())
    def answer(self, which: int, approve: bool, twice: bool) -> None:
        """Answer any request of the chain, perhaps one that has its answer."""
        asked = [step for each in self._all() for step in each if self._asks(step)]
        if not asked:
            return
        request = asked[which % len(asked)].id
        kind = {"type": "mcp_approval_response", "approval_request_id": request}
        try:
            self._start([{**kind, "approve": approve}] * (1 + twice))
        except InvalidRequest:
            assert twice or request in self.answered
        else:
            assert not twice
            assert request not in self.answered
            self.answered.add(request)

    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        response_id = self.responses[which % len(self.responses)]
        self.store.write(agent_runs.leave_run, CALLER, response_id, KINDS)
        # A run that is cancelled writes nothing, although its worker still has the job.
        job_id = self.store.write(job_of, response_id)
        self.held.pop(job_id, None)

    @rule(seconds=st.sampled_from((4, 11)))
    def wait(self, seconds: int) -> None:
        self.store.time += seconds

    # Workers

    @rule()
    def claim(self) -> None:
        owner = next(self.owners)
        job = self.store.write(runs.claim_job, owner, LEASE, sorted(KINDS), scheduled=False)
        if job is not None:
            assert job.id not in self.held
            self.held[job.id] = owner
            self.leases[owner] = self.store.time + LEASE
            self.claims.append(job)

    @rule()
    def sweep(self) -> None:
        ended = jobs.ended_by(KINDS)
        self.store.write(
            reaper.recover_work, lease_seconds=LEASE, most_crashes=MOST_CRASHES, ended=ended
        )
        dead = [job for job, owner in self.held.items() if self.leases[owner] <= self.store.time]
        for job_id in dead:
            del self.held[job_id]

    @precondition(lambda self: self.claims)
    @rule(which=ANY, calls=st.integers(0, 2), approvals=st.integers(0, 1))
    def plan(self, which: int, calls: int, approvals: int) -> None:
        """Let a worker, perhaps one that has lost its job, keep an answer with its calls."""
        job = self.claims[-1 - which % len(self.claims)]
        found = self._steps(job)
        states = ["planned"] * calls + ["approval"] * approvals
        planned = [
            Step(id=new_id("mcp"), position=at, kind="tool", name="f", input=b"{}", status=state)
            for at, state in enumerate(states, len(found) + 1)
        ]
        items = [{"type": "function_call", "call_id": step.id} for step in planned]
        answer = answer_step(len(found), "m", items, None, "done", 0.0)
        self._write(job, steps.keep_plan, [answer, *planned])

    @precondition(lambda self: self.claims)
    @rule(which=ANY, call=ANY)
    def begin_call(self, which: int, call: int) -> None:
        self._with_call(which, call, steps.begin_call)

    @precondition(lambda self: self.claims)
    @rule(which=ANY, call=ANY, status=st.sampled_from(("done", "failed", "doubt")))
    def end_call(self, which: int, call: int, status: str) -> None:
        job = self.claims[-1 - which % len(self.claims)]
        end = f"{job.owner} {job.attempt}"
        self._with_call(which, call, lambda s, g, i: steps.end_call(s, g, CallEnd(i, status, end)))

    @precondition(lambda self: self.claims)
    @rule(which=ANY)
    def finish(self, which: int) -> None:
        """End the response and the job, where no call is open."""
        job = self.claims[-1 - which % len(self.claims)]
        body = self.store.write(body_of, response_of(job))
        response = {**body, "status": "completed", "output": []}
        self._write(job, background.finish_response, response, Transcript.alone([]))
        self.store.write(runs.record_job, job, runs.JobOutcome("succeeded"), jobs.ended_by(KINDS))
        if self.held.get(job.id) == job.owner:
            del self.held[job.id]

    # What always holds

    @invariant()
    def the_books_are_right(self) -> None:
        for response_id in self.responses:
            found = self.store.write(steps.read_steps, response_id)
            assert [step.position for step in found] == list(range(len(found)))
            self._check_plans(found)
            for step in found:
                asked = step.approval_id or step.id
                assert self.keys.setdefault(asked, step.key) == step.key
                if step.status in ENDED:
                    assert self.ends.setdefault(step.id, step) == step
            self._check_end(response_id)
        answered = [step.approval_id for each in self._all() for step in each if step.approval_id]
        assert sorted(answered) == sorted(self.answered)

    def _check_plans(self, found: list[Step]) -> None:
        for answer in (step for step in found if step.kind == "model"):
            wanted = [item["call_id"] for item in answer.items]
            first = answer.position + 1
            assert [step.id for step in found[first : first + len(wanted)]] == wanted

    def _check_end(self, response_id: str) -> None:
        row = self.store.write(row_of, response_id)
        if row[0] in FINAL:
            assert self.finals.setdefault(response_id, row) == row
        ends = self.store.write(ends_told, response_id)
        assert ends <= 1

    # Books

    def _start(self, given: list[Json]) -> None:
        last = self.responses[-1] if self.responses else None
        request = ResponseRequest(
            model="m", input=given or "Hello", background=True, previous_response_id=last
        )
        started = self.store.write(start, request)
        self.responses.append(started)

    def _holds(self, job: ClaimedJob) -> bool:
        return self.held.get(job.id) == job.owner

    def _write(self, job: ClaimedJob, fn: Any, *args: object) -> None:  # noqa: ANN401
        """Write in the name of a claim; the fence must agree with the books."""
        try:
            self.store.write(fenced, job, fn, *args)
        except LostRunError:
            assert not self._holds(job)
        else:
            assert self._holds(job)

    def _with_call(self, which: int, call: int, fn: Any) -> None:  # noqa: ANN401
        job = self.claims[-1 - which % len(self.claims)]
        own = self._holds(job)
        # A late writer ends any call; the one that has the job takes what is open.
        states = ("planned", "running") if own else ("planned", "running", *ENDED)
        found = [step for step in self._steps(job) if step.kind == "tool" and step.status in states]
        if found:
            self._write(job, fn, found[call % len(found)].id)

    def _steps(self, job: ClaimedJob) -> list[Step]:
        return self.store.write(steps.read_steps, response_of(job))

    def _all(self) -> list[list[Step]]:
        return [self.store.write(steps.read_steps, each) for each in self.responses]

    def _asks(self, step: Step) -> bool:
        return step.status in ("approval", "approved", "denied") and step.approval_id is None

    def _last(self) -> Any:  # noqa: ANN401
        return self.store.write(lambda session: session.get_one(ResponseRow, self.responses[-1]))


def start(session: Session, request: ResponseRequest) -> str:
    """Start a run; return its response's id."""
    last = request.previous_response_id
    given = read_transcript(session, CALLER, last, request.items, 1_000_000)
    started = agent_runs.start_run(
        session, CALLER, request, given, request_id="req", traceparent=None
    )
    return started.id


def fenced(session: Session, job: ClaimedJob, fn: Any, *args: object) -> None:  # noqa: ANN401
    """Write as the worker of this claim does."""
    first = event_log.next_sequence(session, response_of(job))
    kind = "response.completed" if fn is background.finish_response else "told"
    told = json.dumps({"type": kind, "sequence_number": first}).encode()
    data = b"event: %b\ndata: %b\n\n" % (kind.encode(), told)
    fn(session, EventGroup(job.id, job.owner, response_of(job), first, data), *args)


def response_of(job: ClaimedJob) -> str:
    """Return the response that a job answers."""
    return str(job.subject["response_id"])


def job_of(session: Session, response_id: str) -> str:
    """Return the job of a response."""
    return str(session.get_one(ResponseRow, response_id).job_id)


def body_of(session: Session, response_id: str) -> Json:
    """Return the response as its caller reads it."""
    found: Json = json.loads(session.get_one(ResponseRow, response_id).body)
    return found


def row_of(session: Session, response_id: str) -> tuple[str, bytes]:
    """Return what does not change any more once a response has ended."""
    row = session.scalars(select(ResponseRow).where(ResponseRow.id == response_id)).one()
    return row.status, row.body


def ends_told(session: Session, response_id: str) -> int:
    """Return how many events tell of the end."""
    kinds = [each["type"] for each in event_log.logged_events(session, response_id)]
    return sum(kind in ("response.completed", "response.failed") for kind in kinds)
