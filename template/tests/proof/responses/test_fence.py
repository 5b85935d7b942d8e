"""The fence of background responses: a worker that has lost its job writes nothing any more."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.callers import keys
from engine.jobs import jobs, runs
from engine.jobs.runs import ClaimedJob, LostRunError
from engine.responses import background, event_log
from engine.responses.background import RESPOND
from engine.responses.event_log import EventGroup
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript
from engine.sql.database import Database
from engine.sql.tables import CallerRow, LeaseRow
from engine.worker import reaper

pytestmark = pytest.mark.anyio
KINDS = {RESPOND.name: RESPOND}
Lose = Callable[[Session, str], None]


def taken_over(session: Session, _response_id: str) -> None:
    session.query(LeaseRow).delete()
    reaper.recover_work(session, lease_seconds=60, most_crashes=9, ended=jobs.ended_by(KINDS))
    assert claim(session, "second") is not None


def cancelled(session: Session, response_id: str) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    background.cancel_response(session, caller_id, response_id, KINDS)


def deleted(session: Session, response_id: str) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    background.delete_response(session, caller_id, response_id, KINDS)


@pytest.mark.parametrize("lose", [taken_over, cancelled, deleted])
async def test_a_late_writer_changes_nothing(database: Database, lose: Lose) -> None:
    response_id, run = await database.write(start)
    before = await database.write(lost, lose, response_id)
    with pytest.raises(LostRunError):
        await database.write(late, response_id, run)
    assert await database.read(events_of, response_id) == before


async def test_without_the_fence_a_late_writer_is_seen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    response_id, run = await database.write(start)
    before = await database.write(lost, taken_over, response_id)
    with monkeypatch.context() as patch:
        patch.setattr(event_log, "require_run", lambda *_: None)
        await database.write(late, response_id, run)
    assert await database.read(events_of, response_id) != before


def start(session: Session) -> tuple[str, ClaimedJob]:
    keys.create_key(session, "tester")
    caller_id = session.scalars(select(CallerRow.id)).one()
    request = ResponseRequest(model="m", input="Hello", background=True)
    begin = partial(background.start_response, session, caller_id, request)
    started = begin(Transcript.alone(request.items), request_id="req", traceparent=None)
    run = claim(session, "first")
    assert run is not None
    return started.id, run


def claim(session: Session, owner: str) -> ClaimedJob | None:
    return runs.claim_job(session, owner, 60.0, [RESPOND.name], scheduled=False)


def lost(session: Session, lose: Lose, response_id: str) -> list[int]:
    lose(session, response_id)
    return events_of(session, response_id)


def late(session: Session, response_id: str, run: ClaimedJob) -> None:
    first_seq = event_log.next_sequence(session, response_id)
    events = b'event: late\ndata: {"sequence_number": 2}\n\n'
    group = EventGroup(run.id, run.owner, response_id, first_seq, events)
    event_log.append_for_run(session, group)


def events_of(session: Session, response_id: str) -> list[int]:
    events = event_log.logged_events(session, response_id)
    return [event["sequence_number"] for event in events]
