"""Runs of agents whose worker is killed, always the one at work: each effect once by its key."""

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.agents.steps import Step, read_steps
from engine.sql.tables import ResponseRow
from tests.proof.agents.errands import FINAL, Effect, Json, agents, ask, calls, effects
from tests.proof.agents.scripted import Turn
from tests.proof.chaos.faults import starved
from tests.proof.responses.test_background import read
from tests.servers import EmbeddedRedis, Postgres, running
from tests.service import Program, Service

LEASE = 6.0
"""Seconds: on a busy machine a shorter one runs out while its worker works."""
PARALLEL = 4
"""Calls at once: those of the agent."""

SLOW = {"TOOL_SECONDS": "0.15", "SCRIPTED_SECONDS": "0.03"}
PATIENCE = 600.0
"""Seconds of one run after which something must be wrong."""

ORDERS = 15
SCRIPT: list[Turn] = [
    *([("look_up", {"order": n}) for n in range(at, at + 3)] for at in range(0, ORDERS, 3)),
    [("email", {"to": "a@example.com"})],
    [("refund", {"order": 1, "cents": 300})],
    "Done.",
]
"""Five turns of three calls, one that must not be repeated, one that needs an approval."""

NAMES = ("model", "look_up", "email", "refund")

Report = Callable[[str], None]


@dataclass(frozen=True)
class RunEvidence:
    """All that is left of a campaign."""

    kills: int
    lost: int
    """Leases that ran out on a busy machine: their calls may run again too."""
    effects: list[Effect]
    steps: dict[str, list[Step]]
    """Of each response."""
    events: dict[str, list[Json]]
    """Of each response, as its caller reads them."""
    runs: int = 1
    complaints: list[str] = field(default_factory=list)

    def of(self, name: str) -> Counter[str]:
        """Return how often each call of a tool had its effect, by key."""
        return Counter(each.key for each in self.effects if each.name == name)

    @property
    def bound(self) -> int:
        """Repeats that the faults explain."""
        return (self.kills + self.lost) * PARALLEL

    @property
    def repeats(self) -> int:
        """Effects and questions beyond the first."""
        calls = Counter(each.key for each in self.effects if each.name != "model")
        questions = self.of("model").total() - len(list(self.answers()))
        return calls.total() - len(calls) + questions

    def answers(self) -> Iterator[Step]:
        """Yield the model's answers."""
        yield from (step for each in self.steps.values() for step in each if step.kind == "model")


@dataclass
class AgentCampaign:
    """Kills by seed, amid runs one after the other."""

    place: Service
    http: httpx.Client
    random: Random
    most: int
    kills: int = 0
    enough: int = 1
    """Calls and questions that the next worker begins before it is killed."""
    responses: list[str] = field(default_factory=list)

    def run(self) -> int:
        """Have runs done until enough workers are killed; return how many."""
        count = 0
        while count == 0 or self.kills < self.most:
            count += 1
            asked = self._done(ask(self.http, *SCRIPT, background=True))
            (request,) = calls(asked, "mcp_approval_request")
            answer = {"type": "mcp_approval_response", "approval_request_id": request["id"]}
            body = {"model": "refunds", "previous_response_id": asked["id"], "background": True}
            given = [{**answer, "approve": True}]
            started = self.http.post("/v1/responses", json={**body, "input": given})
            assert started.status_code == 200, started.text
            self._done(started.json())
        return count

    def _done(self, started: Json) -> Json:
        self.responses.append(started["id"])
        begun = time.monotonic()
        found = started
        while found["status"] not in FINAL:
            if time.monotonic() > begun + PATIENCE:
                raise TimeoutError(f"{started['id']} is {found['status']} and stands still")
            if self.kills < self.most and (worker := self._at_work()):
                self._kill(worker)
            time.sleep(0.02)
            found = self.http.get(f"/v1/responses/{started['id']}").json()
        assert found["status"] == "completed", found
        return found

    def _at_work(self) -> Program | None:
        """Return the worker that has begun the last call or question, once it has begun enough."""
        begun = [each.process for each in effects(self.place, *NAMES)]
        last = begun[-1] if begun else 0
        if begun.count(last) < self.enough:
            return None
        return next((each for each in self.place.workers() if each.process.pid == last), None)

    def _kill(self, worker: Program) -> None:
        time.sleep(self.random.uniform(0.0, 0.3))
        worker.stop(signal.SIGKILL)
        self.kills += 1
        self.enough = self.random.randint(1, 4)
        self.place.start("worker", **SLOW)


def run(seed: int, kills: int, database: str, report: Report = print) -> list[str]:
    """Run one campaign and return every violation; `database` is `sqlite` or `postgresql`."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        found = _evidence(seed, kills, database, Path(name))
    violations = [violation for check in CHECKS for violation in check(found)]
    for violation in violations[:20]:
        report(f"VIOLATION: {violation}")
    charged = found.of("refund")
    report(
        f"seed {seed}, {database}, agents: {found.kills} kills in {found.runs} runs,"
        f" {sum(map(len, found.steps.values()))} steps, {found.repeats} repeats"
        f" of at most {found.bound}, {found.lost} leases starved,"
        f" {len(charged)} charges of {charged.total()} asked,"
        f" {time.monotonic() - started:.0f} s: {len(violations)} violations"
    )
    return violations


def _evidence(seed: int, kills: int, database: str, folder: Path) -> RunEvidence:
    with _stage(database, folder) as place, place.http(place.new_key()) as http:
        place.start("api")
        place.start("worker", "worker", **SLOW)
        campaign = AgentCampaign(place, http, Random(seed), kills)
        complaints: list[str] = []
        runs = 0
        try:
            runs = campaign.run()
        except (AssertionError, TimeoutError) as error:
            complaints.append(f"{error}: {place.programs[-1].text()[-2000:]}")
        return RunEvidence(
            campaign.kills,
            sum(len(list(starved(each.name, each.text(), LEASE))) for each in place.programs),
            effects(place, *NAMES),
            place.in_database(_steps),
            {each: read(http, each) for each in campaign.responses} if runs else {},
            runs,
            complaints,
        )


def _steps(session: Session) -> dict[str, list[Step]]:
    ids = session.scalars(select(ResponseRow.id).order_by(ResponseRow.id))
    return {each: read_steps(session, each) for each in ids}


@contextmanager
def _stage(database: str, folder: Path) -> Iterator[Service]:
    with ExitStack() as stack:
        redis = stack.enter_context(running(EmbeddedRedis(folder)))
        url = None
        if database == "postgresql":
            home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(running(Postgres(home))).url
        ready = agents(folder, redis.url, url, lease_seconds=LEASE, batch_crashes=1000)
        yield stack.enter_context(ready)


def every_run_is_whole(found: RunEvidence) -> Iterator[str]:
    """Each run came to its end, and each planned call to one."""
    yield from found.complaints
    for response_id, steps in found.steps.items():
        if [step.position for step in steps] != list(range(len(steps))):
            yield f"the steps of {response_id} have gaps"
        for step in steps:
            if step.status in ("planned", "running"):
                yield f"{step.name} {step.key} is {step.status} for ever"


def every_plan_is_whole(found: RunEvidence) -> Iterator[str]:
    """Behind each answer stand the calls that it asks for, once."""
    for steps in found.steps.values():
        for answer in (step for step in steps if step.kind == "model"):
            wanted = [item["call_id"] for item in answer.items if item["type"] == "function_call"]
            first = answer.position + 1
            if [step.id for step in steps[first : first + len(wanted)]] != wanted:
                yield f"the answer {answer.id} is kept without its calls"
    planned = Counter(
        (step.name, step.input)
        for steps in found.steps.values()
        for step in steps
        if step.kind == "tool" and not step.approval_id
    )
    if found.runs and set(planned.values()) != {found.runs}:
        yield f"calls were planned twice, or not at all: {planned}"


def every_effect_has_one_key(found: RunEvidence) -> Iterator[str]:
    """No run of a tool has another key than its step, and no done step lacks its effect."""
    keys = {step.key for steps in found.steps.values() for step in steps if step.kind == "tool"}
    names = {each.name for each in found.effects} - {"model"}
    seen = {key for name in names for key in found.of(name)}
    if strange := seen - keys:
        yield f"effects without a step: {strange}"
    for steps in found.steps.values():
        for step in steps:
            if step.kind == "tool" and step.status == "done" and step.key not in seen:
                yield f"{step.name} {step.key} is done without its effect"
    if found.runs and len(found.of("refund")) != found.runs:
        yield f"{len(found.of('refund'))} charges in {found.runs} runs"


def nothing_is_repeated_unasked(found: RunEvidence) -> Iterator[str]:
    """A kill repeats no more than was in flight; a call that must not be repeated ends in doubt."""
    if found.repeats > found.bound:
        yield f"{found.repeats} repeats, of which the faults explain {found.bound}"
    yield from (f"email {key} was sent {n} times" for key, n in found.of("email").items() if n > 1)
    attempts = Counter((each.key, each.attempt) for each in found.effects if each.name != "model")
    yield from (f"{key}: attempt {at} ran {n} times" for (key, at), n in attempts.items() if n > 1)


def events_tell_each_end_once(found: RunEvidence) -> Iterator[str]:
    """The numbers have no gap, each item ends once, and so does the response."""
    for response_id, events in found.events.items():
        if [each["sequence_number"] for each in events] != list(range(len(events))):
            yield f"the events of {response_id} have gaps"
        kinds = Counter(each["type"] for each in events)
        if kinds["response.completed"] != 1:
            yield f"{response_id} was told to be completed {kinds['response.completed']} times"
        done = [each["output_index"] for each in events if each["type"].endswith("item.done")]
        if len(done) != len(set(done)):
            yield f"an item of {response_id} was told to be done twice"


CHECKS = [
    every_run_is_whole,
    every_plan_is_whole,
    every_effect_has_one_key,
    nothing_is_repeated_unasked,
    events_tell_each_end_once,
]
