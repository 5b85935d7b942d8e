"""Responses in SQL, each its caller's own, with their items."""

import time
from dataclasses import dataclass

import msgspec
from pydantic import BaseModel
from sqlalchemy import (
    ColumnElement,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session

from engine.errors import NotFound
from engine.jobs.jobs import DAY
from engine.models.wire import Json, encode_json
from engine.responses.schema import CONTINUED, HIDDEN
from engine.responses.transcript import Transcript
from engine.sql.statements import rows_changed
from engine.sql.tables import ConversationRow, ResponseRow
from engine.sql.tables import ResponseEventRow as Event
from engine.sql.tables import ResponseItemRow as Item

NO_BODY = b"{}"


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response: `body` is its JSON, as its caller reads it."""

    body: bytes
    status: str
    background: bool
    job_id: str | None


def save_response(session: Session, caller_id: str, response: Json, transcript: Transcript) -> None:
    """Keep a response that has ended, with its items. It is a use of its whole chain."""
    row = _add_row(session, caller_id, response, transcript, finished_at=time.time())
    add_output(session, row, response, transcript)


def add_response(
    session: Session,
    caller_id: str,
    response: Json,
    transcript: Transcript,
    *,
    request: BaseModel,
    job_id: str,
) -> None:
    """Keep a response that its job is to answer, with the items of its input."""
    body = request.model_dump_json(exclude={"input"}).encode()
    _add_row(session, caller_id, response, transcript, request=body, job_id=job_id)


def find_response(session: Session, caller_id: str, response_id: str) -> StoredResponse:
    """Return a response; raise `NotFound` where this caller has none of that id."""
    row = session.get(ResponseRow, response_id)
    if row is None or row.caller_id != caller_id or row.status == HIDDEN:
        raise response_not_found(response_id)
    return StoredResponse(row.body, row.status, row.background, row.job_id)


def require_response(session: Session, caller_id: str, response_id: str) -> None:
    """Raise `NotFound` where this caller has no response of that id."""
    if session.scalar(select(ResponseRow.id).where(*is_mine(caller_id, response_id))) is None:
        raise response_not_found(response_id)


def input_items(session: Session, response_id: str) -> list[Json]:
    """Return the items that a response was given, in their order."""
    own = select(Item.data).where(Item.response_id == response_id, Item.output.is_(False))
    return [msgspec.json.decode(data) for data in session.scalars(own.order_by(Item.position))]


def forget_response(session: Session, caller_id: str, response_id: str) -> None:
    """Delete a response with its items and events; raise `NotFound` where there is none.

    The items of a turn of a conversation stay in it.
    """
    mine = is_mine(caller_id, response_id)
    kept = select(ConversationRow.id).where(ConversationRow.id == ResponseRow.conversation_id)
    turn = update(ResponseRow).where(*mine, ResponseRow.status.in_(CONTINUED), kept.exists())
    if rows_changed(session, turn.values(status=HIDDEN, body=NO_BODY)):
        session.execute(delete(Event).where(Event.response_id == response_id))
    elif not rows_changed(session, delete(ResponseRow).where(*mine)):
        raise response_not_found(response_id)


def is_mine(caller_id: str, response_id: str) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a response that its caller may read."""
    mine = ResponseRow.id == response_id, ResponseRow.caller_id == caller_id
    return *mine, ResponseRow.status != HIDDEN


def response_not_found(response_id: str) -> NotFound:
    """Return the error of a response that this caller lacks."""
    return NotFound(f"Response with id '{response_id}' not found.", param="response_id")


def _add_row(
    session: Session, caller_id: str, response: Json, transcript: Transcript, **more: object
) -> ResponseRow:
    is_run = "job_id" in more  # its caller follows it to its end, and then it is forgotten
    shown = is_run or response.get("store", True)
    row = ResponseRow(
        id=response["id"],
        caller_id=caller_id,
        previous_id=transcript.head_id,
        conversation_id=(response.get("conversation") or {}).get("id"),
        model=response["model"],
        status=response["status"] if shown else HIDDEN,
        background=response["background"],
        body=encode_json(response) if shown else NO_BODY,
        created_at=response["created_at"],
        used_at=time.time(),
        **more,
    )
    session.add(row)
    session.flush()
    _add_items(session, row, transcript.given, first=0)
    return row


def add_output(session: Session, row: ResponseRow, response: Json, transcript: Transcript) -> None:
    """Keep the items of an answer behind those of its input. It is a use of the whole chain."""
    _add_items(session, row, response["output"], first=len(transcript.given), output=True)
    if transcript.chain:
        _use(session, transcript.chain)


def _add_items(
    session: Session, row: ResponseRow, items: list[Json], *, first: int, output: bool = False
) -> None:
    own = {"response_id": row.id, "caller_id": row.caller_id, "output": output}
    rows = [
        {"id": item["id"], "position": place, "data": encode_json(item), **own}
        for place, item in enumerate(items, first)
    ]
    if rows:
        session.execute(insert(Item), rows)


def _use(session: Session, chain: list[str]) -> None:
    """Say that these are used, once a day: each response would write its whole chain again."""
    late = ResponseRow.id.in_(chain), ResponseRow.used_at < time.time() - DAY
    rows = select(ResponseRow.id).where(*late).order_by(ResponseRow.id).with_for_update()
    if found := session.scalars(
        rows
    ).all():  # locked in one order: no deadlock with another response
        used = update(ResponseRow).where(ResponseRow.id.in_(found)).values(used_at=time.time())
        rows_changed(session, used)
