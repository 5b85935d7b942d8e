"""Responses in SQL, each its caller's own: their items, and the chains that they make."""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy import (
    CTE,
    ColumnElement,
    Row,
    and_,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest, NotFound
from engine.jobs.jobs import DAY
from engine.models.wire import Json, encode_json
from engine.sql.statements import new_id, rows_changed
from engine.sql.tables import ConversationRow, ResponseRow
from engine.sql.tables import ResponseEventRow as Event
from engine.sql.tables import ResponseItemRow as Item

LONGEST_CHAIN = 500
CONTINUED = ("completed", "incomplete")
"""States of a response that the next one may continue."""

HIDDEN = "hidden"
"""State of a link of a conversation that no caller reads as a response: items that were added, or a
response that was deleted or was not to be stored."""

NO_BODY = b"{}"
ITEM_ID = re.compile("[!-~]{1,64}")
KINDS = {"message": "msg", "reasoning": "rs"}
KINDS |= {"function_call": "fc", "function_call_output": "fco"}
"""Beginnings of ids, by the type of the item."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a request stands on: earlier items, its own, and the chain that it continues."""

    history: list[Json]
    """Items of the chain, oldest first: of each response its input, then its output."""
    given: list[Json]
    """Items of the request, each with its type and an id."""
    chain: list[str]
    """Ids of the chain's responses, newest first."""

    @classmethod
    def alone(cls, given: list[Json]) -> "Transcript":
        """Return a request that continues nothing; raise `InvalidRequest` for a bad id."""
        return cls([], [_with_id(item) for item in given], [])

    @property
    def head_id(self) -> str | None:
        """The response that the request continues."""
        return self.chain[0] if self.chain else None

    @property
    def has_references(self) -> bool:
        """Whether items are only named: `read_transcript` reads them."""
        return any(map(_is_reference, self.given))


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """A response: `body` is its JSON, as its caller reads it."""

    body: bytes
    status: str
    background: bool
    job_id: str | None


def read_transcript(
    session: Session, caller_id: str, previous_id: str | None, given: list[Json], most_bytes: int
) -> Transcript:
    """Return the items of the chain that ends with `previous_id`, and the request's own.

    Raise `InvalidRequest` where the chain is not whole, cannot be continued, or is too long: all
    that is read has at most `most_bytes`. Raise `NotFound` for a reference to an unknown item.
    """
    alone = Transcript.alone(given)
    links = _read_links(session, caller_id, previous_id) if previous_id else []
    left = _room(most_bytes, (link.size for link in links))
    chain = [link.id for link in links]
    found = _read_references(session, caller_id, alone, left)
    own = [found[each["id"]] if _is_reference(each) else each for each in alone.given]
    return Transcript(_read_items(session, chain), own, chain)


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


def chain_to(caller_id: str, previous_id: str) -> CTE:
    """Return the links of a chain, and one more than it may have."""
    columns = select(ResponseRow.id, ResponseRow.previous_id, ResponseRow.status)
    mine = columns.where(ResponseRow.caller_id == caller_id)
    newest = mine.add_columns(literal(1).label("depth")).where(ResponseRow.id == previous_id)
    chain = newest.cte("chain", recursive=True)
    earlier = mine.add_columns(chain.c.depth + 1).where(
        ResponseRow.id == chain.c.previous_id, chain.c.depth <= LONGEST_CHAIN
    )
    return chain.union_all(earlier)


def _read_links(session: Session, caller_id: str, previous_id: str) -> Sequence[Row[Any]]:
    chain = chain_to(caller_id, previous_id)
    size = select(func.coalesce(func.sum(func.length(Item.data)), 0))
    sized = size.where(Item.response_id == chain.c.id).scalar_subquery().label("size")
    links = session.execute(select(chain, sized).order_by(chain.c.depth)).all()
    if len(links) > LONGEST_CHAIN:
        raise _too_long(f"{LONGEST_CHAIN} responses")
    if missing := links[-1].previous_id if links else previous_id:
        raise unknown_link(missing)
    if links[0].status not in (*CONTINUED, HIDDEN):
        message = f"Previous response is {links[0].status}: continue a completed or incomplete one."
        raise InvalidRequest(message, param="previous_response_id")
    return links


def _read_items(session: Session, chain: list[str]) -> list[Json]:
    """Return the items of responses that are named newest first, the oldest first."""
    places = {response_id: -place for place, response_id in enumerate(chain)}
    items = select(Item.response_id, Item.data).where(Item.response_id.in_(chain))
    found = session.execute(items.order_by(Item.position)).all() if chain else []
    found = sorted(found, key=lambda row: places[row.response_id])
    return [msgspec.json.decode(row.data) for row in found]


def unknown_link(response_id: str) -> InvalidRequest:
    """Return the error of a chain that lacks a response."""
    return InvalidRequest(
        f"Previous response with id '{response_id}' not found.",
        param="previous_response_id",
        code="previous_response_not_found",
    )


def _room(most_bytes: int, sizes: Iterable[int]) -> int:
    left = most_bytes - sum(sizes)
    if left < 0:
        raise _too_long(f"{most_bytes} bytes")
    return left


def _too_long(than: str) -> InvalidRequest:
    return InvalidRequest(
        f"The conversation has more than {than}: begin a new one, with the items that it needs.",
        param="previous_response_id",
        code="context_length_exceeded",
    )


def _read_references(
    session: Session, caller_id: str, transcript: Transcript, most_bytes: int
) -> dict[str, Json]:
    """Return the caller's newest items of the ids that are referred to."""
    wanted = [item["id"] for item in transcript.given if _is_reference(item)]
    place = Item.caller_id, Item.id
    newest = (
        select(*place, func.max(Item.response_id).label("response_id"))
        .where(Item.caller_id == caller_id, Item.id.in_(wanted))
        .group_by(*place)
        .subquery()
    )
    same = (getattr(Item, column.name) == column for column in newest.c)
    size = func.length(Item.data).label("size")
    items = select(Item.id, size).join(newest, and_(*same)).order_by(Item.position)
    sizes = {row.id: row.size for row in session.execute(items)} if wanted else {}
    for each in wanted:
        if each not in sizes:
            raise NotFound(f"Item with id '{each}' not found.", param="input")
    _room(most_bytes, (sizes[each] for each in wanted))
    found = session.execute(items.with_only_columns(Item.id, Item.data)) if wanted else ()
    return {item_id: msgspec.json.decode(data) for item_id, data in found}


def _is_reference(item: Json) -> bool:
    return bool(item["type"] == "item_reference")


def _with_id(item: Json) -> Json:
    named = "id" in item and "role" not in item
    kind = str(item.get("type") or ("item_reference" if named else "message"))
    item_id = item.get("id")
    if not item_id and kind != "item_reference":
        item_id = new_id(KINDS.get(kind, "item"))
    if not isinstance(item_id, str) or not ITEM_ID.fullmatch(item_id):
        raise InvalidRequest("An item's id has 1 to 64 letters, digits or signs.", param="input")
    return {**item, "type": kind, "id": item_id}


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
