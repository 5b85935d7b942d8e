"""The fence of runs: a worker that has lost its job writes no step any more, whatever it ends."""

import json
from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.agents import runs as agent_runs
from engine.agents import steps
from engine.agents.runs import AWAITED_RUN, BACKGROUND_RUN
from engine.agents.steps import CallEnd, Step, answer_step, read_steps
from engine.callers import keys
from engine.jobs import jobs, runs
from engine.jobs.runs import ClaimedJob, LostRunError
from engine.responses import background, event_log
from engine.responses.event_log import EventGroup
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript
from engine.sql.database import Database
from engine.sql.tables import CallerRow, LeaseRow, ResponseRow
from engine.worker import reaper

pytestmark = pytest.mark.anyio

KINDS = {kind.name: kind for kind in (AWAITED_RUN, BACKGROUND_RUN)}
CALL = Step(id="mcp_1", position=1, kind="tool", name="look_up", input=b"{}")
OTHER = Step(id="mcp_2", position=2, kind="tool", name="refund", input=b"{}", status="approval")
Write = Callable[[Session, EventGroup], None]
Lose = Callable[[Session, str], None]


def plan(session: Session, group: EventGroup) -> None:
    late = answer_step(3, "scripted", [], None, "done", 0.0)
    steps.keep_plan(session, group, [late])


def begin(session: Session, group: EventGroup) -> None:
    steps.begin_call(session, group, CALL.id)


def end(session: Session, group: EventGroup) -> None:
    steps.end_call(session, group, CallEnd(CALL.id, "done", "late"))


def finish(session: Session, group: EventGroup) -> None:
    body = json.loads(session.get_one(ResponseRow, group.response_id).body)
    response = {**body, "status": "completed", "output": []}
    background.finish_response(session, group, response, Transcript.alone([]))


def taken_over(session: Session, _response_id: str) -> None:
    session.query(LeaseRow).delete()
    reaper.recover_work(session, lease_seconds=60, most_crashes=9, ended=jobs.ended_by(KINDS))
    assert claim(session, "second") is not None


def cancelled(session: Session, response_id: str) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    background.stop_response(session, caller_id, response_id, KINDS)


def left(session: Session, response_id: str) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    agent_runs.leave_run(session, caller_id, response_id, KINDS)


@pytest.mark.parametrize("lose", [taken_over, cancelled, left])
@pytest.mark.parametrize("write", [plan, begin, end, finish])
async def test_a_late_writer_changes_nothing(database: Database, write: Write, lose: Lose) -> None:
    group = await database.write(start)
    await database.write(lose, group.response_id)
    before = await database.read(state)
    with pytest.raises(LostRunError):
        await database.write(write, group)
    assert await database.read(state) == before


@pytest.mark.parametrize("write", [plan, begin, end, finish])
async def test_without_the_fence_a_late_writer_is_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    group = await database.write(start)
    await database.write(taken_over, group.response_id)
    before = await database.read(state)
    with monkeypatch.context() as patch:
        patch.setattr(event_log, "require_run", lambda *_: None)
        await database.write(write, group)
    assert await database.read(state) != before


def start(session: Session) -> EventGroup:
    """Begin a run with two planned calls, and return what its worker would write next."""
    keys.create_key(session, "tester")
    caller_id = session.scalars(select(CallerRow.id)).one()
    request = ResponseRequest(model="refunds", input="Hello", background=True)
    begin = partial(agent_runs.start_run, session, caller_id, request)
    started = begin(Transcript.alone(request.items), request_id="req", traceparent=None)
    run = claim(session, "first")
    assert run is not None
    first = EventGroup(run.id, run.owner, started.id, 100, b"")
    steps.keep_plan(
        session, first, [answer_step(0, "scripted", [], None, "done", 0.0), CALL, OTHER]
    )
    late = b'event: late\ndata: {"sequence_number": 100}\n\n'
    return EventGroup(run.id, run.owner, started.id, 100, late)


def claim(session: Session, owner: str) -> ClaimedJob | None:
    return runs.claim_job(session, owner, 60.0, sorted(KINDS), scheduled=False)


def state(session: Session) -> list[object]:
    """Return all of the run that is seen."""
    found: list[object] = []
    for row in session.scalars(select(ResponseRow)):
        numbers = [each["sequence_number"] for each in event_log.logged_events(session, row.id)]
        found += [row.status, row.body, numbers, read_steps(session, row.id)]
    return found
