"""A worker dies at each durable step of a background response: its end is told once, and whole."""

from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.responses import background, event_log
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript
from engine.sql.tables import (
    CallerRow,
    ResponseItemRow,
    ResponseRow,
    ScheduleRow,
    WebhookDeliveryRow,
)
from tests.owing import register
from tests.proof.machines.features import greeting
from tests.proof.worker.crashing import KILLED, Point
from tests.proof.worker.test_crash_points import Site, empty, let_leases_run_out, site

STEPS = (
    Point("event_log.append_for_run", "before"),
    Point("event_log.append_for_run", "after"),
    Point("background.begin_response", "before"),
    Point("background.begin_response", "after"),
    Point("background.finish_response", "before"),
    Point("background.finish_response", "after"),
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def place(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    with site(tmp_path_factory.mktemp("crashes"), redis_url, url) as ready:
        yield ready


@pytest.mark.parametrize("point", STEPS, ids=str)
def test_a_response_survives_its_workers_death(place: Site, point: Point) -> None:
    place.service.in_database(empty)
    place.service.new_key()
    place.service.in_database(submit)
    assert place.workers.run(point) == KILLED, f"{point} was not reached"
    place.service.in_database(let_leases_run_out)
    assert place.workers.run() == 0
    place.service.in_database(check_whole)


def submit(session: Session) -> None:
    caller_id = session.scalars(select(CallerRow.id)).one()
    register(session, caller_id, event_types=("response.completed",))
    request = ResponseRequest(model="simulated-chat", input="Hello", background=True)
    transcript = Transcript.alone(request.items)
    background.start_response(
        session, caller_id, request, transcript, request_id="req_r", traceparent=None
    )
    session.add(ScheduleRow(name=greeting.JOB.name, tick=0.0))


def check_whole(session: Session) -> None:
    row = session.scalars(select(ResponseRow)).one()
    assert row.status == "completed"
    response = msgspec.json.decode(row.body)
    events = list(event_log.logged_events(session, row.id))
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    assert [each["type"] for each in events].count("response.completed") == 1
    assert events[-1]["response"] == response
    items = select(ResponseItemRow.id).where(ResponseItemRow.output)
    assert list(session.scalars(items)) == [each["id"] for each in response["output"]]
    told = select(WebhookDeliveryRow.event).where(WebhookDeliveryRow.subject_id == row.id)
    assert list(session.scalars(told)) == ["response.completed"]
