"""A worker dies at each durable step of a run: it completes, and each effect is had by one key."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.agents import runs
from engine.agents.steps import Step, read_steps
from engine.responses import event_log
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript, read_transcript
from engine.sql.tables import CallerRow, ResponseRow, ScheduleRow, WebhookDeliveryRow
from tests.owing import register
from tests.proof.agents.errands import MODULES, Effect, agents, effects
from tests.proof.agents.scripted import script
from tests.proof.machines.features import greeting
from tests.proof.thorough import one_of_each
from tests.proof.worker.crashing import KILLED, Point, workers
from tests.proof.worker.test_crash_points import Site, empty, let_leases_run_out

PARALLEL = 4
SCRIPT = script(
    [("look_up", {"order": 1}), ("look_up", {"order": 2}), ("look_up", {"order": 3})],
    [("email", {"to": "a@example.com"})],
    [("refund", {"order": 1, "cents": 300})],
    "Done.",
)
CALLS = 5

STEPS = [
    Point(step, when, nth=nth)
    for step, nth in (
        ("background.begin_response", 1),
        ("steps.keep_plan", 1),
        ("steps.keep_plan", 3),  # that of the approval
        ("steps.begin_call", 2),
        ("steps.end_call", 1),
        ("steps.end_call", 2),
        ("steps.end_call", 4),  # of the call that must not be repeated
        ("background.finish_response", 1),
        ("runs.record_job", 1),
    )
    for when in ("before", "after")
]


@contextmanager
def place_of_runs(
    folder: Path, redis_url: str, url: str | None = None, *, modules: Path = MODULES
) -> Iterator[Site]:
    """Yield a database on which only these workers run, and they die where they are told to."""
    with (
        agents(folder, redis_url, url, modules=modules, batch_crashes=9) as running,
        workers(running.environment) as forked,
    ):
        yield Site(running, forked)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with place_of_runs(tmp_path_factory.mktemp("crashes"), redis_url, url) as ready:
        yield ready


@pytest.mark.parametrize("point", one_of_each(STEPS, lambda point: point.step), ids=str)
def test_a_run_survives_its_workers_death(site: Site, point: Point) -> None:
    check_crash(site, point)


def check_crash(site: Site, point: Point) -> None:
    prepare(site)
    assert site.workers.run(point) == KILLED, f"{point} was not reached"
    site.service.in_database(let_leases_run_out)
    assert site.workers.run() == 0
    site.service.in_database(check_whole, effects(site.service), approved=False)


@pytest.mark.parametrize(
    "point",
    one_of_each(
        [
            Point(step, when)
            for step in ("steps.begin_call", "steps.end_call", "background.finish_response")
            for when in ("after", "before")
        ],
        lambda point: point.step,
    ),
    ids=str,
)
def test_an_approved_call_survives_its_workers_death(site: Site, point: Point) -> None:
    prepare(site)
    assert site.workers.run() == 0
    site.service.in_database(approve)
    assert site.workers.run(point) == KILLED, f"{point} was not reached"
    site.service.in_database(let_leases_run_out)
    assert site.workers.run() == 0
    site.service.in_database(check_whole, effects(site.service), approved=True)


def test_answers_to_an_approval_are_taken_with_their_run_or_not_at_all(site: Site) -> None:
    """The process dies, as far as SQL sees, before the commit of both."""
    prepare(site)
    assert site.workers.run() == 0
    with pytest.raises(ZeroDivisionError):
        site.service.in_database(approve_and_die)
    site.service.in_database(approve)
    assert site.workers.run() == 0
    site.service.in_database(check_whole, effects(site.service), approved=True)


def prepare(site: Site) -> None:
    (site.service.folder / "effects.txt").unlink(missing_ok=True)
    site.service.in_database(empty)
    site.service.new_key()
    site.service.in_database(submit)


def submit(session: Session) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    register(session, caller_id, event_types=("response.completed",))
    request = ResponseRequest(model="refunds", input=SCRIPT, background=True)
    transcript = Transcript.alone(request.items)
    runs.start_run(session, caller_id, request, transcript, request_id="req_r", traceparent=None)
    session.add(ScheduleRow(name=greeting.JOB.name, tick=0.0))


def approve(session: Session) -> None:
    (first,) = session.scalars(select(ResponseRow))
    (waiting,) = (step for step in read_steps(session, first.id) if step.status == "approval")
    answer = {"type": "mcp_approval_response", "approval_request_id": waiting.id, "approve": True}
    request = ResponseRequest(
        model="refunds", input=[answer], background=True, previous_response_id=first.id
    )
    given = read_transcript(session, first.caller_id, first.id, request.items, 1_000_000)
    runs.start_run(session, first.caller_id, request, given, request_id="req_s", traceparent=None)


def approve_and_die(session: Session) -> None:
    approve(session)
    session.flush()
    raise ZeroDivisionError


def check_whole(session: Session, found: list[Effect], *, approved: bool) -> None:
    rows = session.scalars(select(ResponseRow).order_by(ResponseRow.id)).all()
    steps = [step for row in rows for step in read_steps(session, row.id)]
    assert [row.status for row in rows] == ["completed"] * (1 + approved)
    check_plan(steps)
    check_effects(steps, found, approved=approved)
    for row in rows:
        response = msgspec.json.decode(row.body)
        events = list(event_log.logged_events(session, row.id))
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        assert [each["type"] for each in events].count("response.completed") == 1
        assert events[-1]["response"] == response
        done = [each["output_index"] for each in events if each["type"].endswith("item.done")]
        assert len(done) == len(set(done))
        told = select(WebhookDeliveryRow.event).where(WebhookDeliveryRow.subject_id == row.id)
        assert list(session.scalars(told)) == ["response.completed"]


def check_plan(steps: list[Step]) -> None:
    planned = [step for step in steps if step.kind == "tool" and not step.approval_id]
    names = [step.name for step in planned]
    assert names == ["look_up"] * 3 + ["email", "refund"], "not the same calls as without a crash"
    assert len({step.key for step in planned}) == CALLS
    asked = [
        item["call_id"]
        for step in steps
        if step.kind == "model"
        for item in step.items
        if item["type"] == "function_call"
    ]
    assert asked == [step.id for step in planned]


def check_effects(steps: list[Step], found: list[Effect], *, approved: bool) -> None:
    """Check that each call that is done had its effect, under its key, and no other had one."""
    runs_of = Counter(each.key for each in found)
    calls = {step.key: step for step in steps if step.kind == "tool"}
    assert set(runs_of) <= set(calls), "not the same effects as without a crash"
    assert sum(runs_of.values()) - len(runs_of) <= PARALLEL
    assert len([key for key in runs_of if calls[key].name == "refund"]) == approved
    for key, step in calls.items():
        assert step.status in ("done", "approval", "doubt"), step
        assert step.status != "done" or runs_of[key] >= 1
        if step.name == "email":
            assert runs_of[key] <= 1
        else:
            assert step.status != "doubt"
    attempts = Counter((each.key, each.attempt) for each in found)
    assert set(attempts.values()) <= {1}
