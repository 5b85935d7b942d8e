"""Reading a response, its chain or its events searches an index, however many others there are."""

from collections.abc import Callable

import pytest
from sqlalchemy.orm import Session

from engine.responses import background, conversations, event_log, item_pages
from engine.responses.native import Relay
from engine.responses.schema import ResponseRequest
from engine.responses.transcript import Transcript, read_transcript
from engine.sql.pagination import PageQuery
from engine.sql.tables import ResponseRow
from tests.proof.machines import past
from tests.proof.machines.plans import sqlite_plans
from tests.proof.machines.store import Store

LARGE = {"conversations", "responses", "response_items", "response_events"}
KINDS = {background.RESPOND.name: background.RESPOND}
ROOM = 10**6


def continue_it(session: Session, response_id: str) -> object:
    given = [{"type": "item_reference", "id": "msg_1"}]
    return read_transcript(session, past.CALLER, response_id, given, ROOM)


def list_input(session: Session, response_id: str) -> object:
    return item_pages.page_of_input_items(
        session, past.CALLER, response_id, PageQuery(after="msg_1")
    )


def replay(session: Session, response_id: str) -> object:
    return event_log.replay_events(session, past.CALLER, response_id, 3)


def begin(session: Session, response_id: str) -> object:
    return background.begin_attempt(session, response_id, ROOM, Relay)


def cancel(session: Session, response_id: str) -> object:
    return background.cancel_response(session, past.CALLER, response_id, KINDS)


@pytest.mark.parametrize("step", [continue_it, list_input, replay, begin, cancel])
def test_no_table_of_responses_is_scanned(step: Callable[[Session, str], object]) -> None:
    kept = Store()
    response_id = kept.write(start)
    if step is continue_it:
        kept.write(end, response_id)
    with sqlite_plans() as plans:
        kept.write(step, response_id)
    assert plans
    assert not [plan for plan in plans if plan in {f"SCAN {table}" for table in LARGE}]


def talk(session: Session) -> str:
    past.add_caller(session)
    given = [{"type": "message", "role": "user", "content": "Hi", "id": "msg_1"}]
    made = conversations.begin_conversation(
        session, past.CALLER, items=given, metadata={}, most_bytes=ROOM
    )
    return made.id


def list_items(session: Session, conversation_id: str) -> object:
    query = PageQuery(after="msg_1")
    return conversations.page_of_conversation(session, past.CALLER, conversation_id, query)


def add_item(session: Session, conversation_id: str) -> object:
    given = [{"role": "user", "content": "More"}]
    return conversations.append_items(session, past.CALLER, conversation_id, given, ROOM)


def find_item(session: Session, conversation_id: str) -> object:
    return conversations.find_item(session, past.CALLER, conversation_id, "msg_1")


def forget_item(session: Session, conversation_id: str) -> object:
    return conversations.forget_item(session, past.CALLER, conversation_id, "msg_1")


@pytest.mark.parametrize("step", [list_items, add_item, find_item, forget_item])
def test_no_table_is_scanned_for_a_conversation(step: Callable[[Session, str], object]) -> None:
    kept = Store()
    conversation_id = kept.write(talk)
    with sqlite_plans() as plans:
        kept.write(step, conversation_id)
    assert plans
    assert not [plan for plan in plans if plan in {f"SCAN {table}" for table in LARGE}]


def start(session: Session) -> str:
    past.add_caller(session)
    given = [{"type": "message", "role": "user", "content": "Hi", "id": "msg_1"}]
    request = ResponseRequest(model="m", input=given, background=True)
    transcript = Transcript.alone(request.items)
    return background.start_response(
        session, past.CALLER, request, transcript, request_id="req", traceparent=None
    ).id


def end(session: Session, response_id: str) -> None:
    session.get_one(ResponseRow, response_id).status = "completed"
