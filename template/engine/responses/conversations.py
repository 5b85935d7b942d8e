"""Conversations: each is the head of a chain of responses, which its next turn moves forward.

A turn moves the head only from where the turn began (compare and swap), so of two at the same time
one is refused, and a killed process leaves nothing locked. A background response holds its
conversation until it ends. Items that callers add are a link of the chain without a model.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec
from pydantic import BaseModel
from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from engine.errors import AppError, InvalidRequest, NotFound
from engine.models.wire import Json, encode_json
from engine.responses import item_pages, store
from engine.responses.native import refuse_objects
from engine.responses.schema import CONTINUED, HIDDEN, ResponseRequest, echoed_item
from engine.responses.transcript import Transcript, chain_to, read_transcript, unknown_link
from engine.responses.translation import require_readable
from engine.sql.pagination import Page, PageQuery
from engine.sql.statements import new_id, rows_changed
from engine.sql.tables import ConversationRow, ResponseRow
from engine.sql.tables import ResponseItemRow as Item


class ConversationObject(BaseModel):
    """A conversation as its caller reads it."""

    id: str
    object: Literal["conversation"] = "conversation"
    created_at: int
    metadata: dict[str, str]


def begin_conversation(
    session: Session, caller_id: str, *, items: list[Json], metadata: Json, most_bytes: int
) -> ConversationObject:
    """Begin a conversation, which may have items already."""
    at = time.time()
    made = ConversationRow(id=new_id("conv"), caller_id=caller_id, created_at=at, used_at=at)
    made.labels = encode_json(metadata)
    session.add(made)
    if items:
        _add_link(session, made, items, most_bytes)
    return _shown(made)


def find_conversation(session: Session, caller_id: str, conversation_id: str) -> ConversationObject:
    """Return a conversation; raise `NotFound` where this caller has none of that id."""
    return _shown(_found(session, caller_id, conversation_id))


def label_conversation(
    session: Session, caller_id: str, conversation_id: str, metadata: Json | None
) -> ConversationObject:
    """Replace the metadata of a conversation, where there are any."""
    found = _found(session, caller_id, conversation_id, lock=True)
    if metadata is not None:
        found.labels = encode_json(metadata)
    return _shown(found)


def forget_conversation(session: Session, caller_id: str, conversation_id: str) -> None:
    """Delete a conversation. Its responses stay."""
    session.delete(_found(session, caller_id, conversation_id, lock=True))


def append_items(
    session: Session, caller_id: str, conversation_id: str, items: list[Json], most_bytes: int
) -> Page[Json]:
    """Add items at the end of a conversation, and return them."""
    found = _found_free(session, caller_id, conversation_id)
    added = _add_link(session, found, items, most_bytes)
    shown = [echoed_item(item) for item in added]
    return Page(data=shown, first_id=added[0]["id"], last_id=added[-1]["id"], has_more=False)


def page_of_conversation(
    session: Session, caller_id: str, conversation_id: str, query: PageQuery
) -> Page[Json]:
    """Return a page of the items of a conversation."""
    head_id = _found(session, caller_id, conversation_id).head_id
    return item_pages.page_of_chain(session, caller_id, head_id or "", query)


def find_item(session: Session, caller_id: str, conversation_id: str, item_id: str) -> Json:
    """Return an item of a conversation, the newest of its id."""
    head_id = _found(session, caller_id, conversation_id).head_id
    chain = chain_to(caller_id, head_id or "")
    items = select(Item.data).join(chain, Item.response_id == chain.c.id)
    newest = items.where(Item.id == item_id).order_by(chain.c.depth, Item.position.desc())
    data = session.scalar(newest.limit(1))
    if data is None:
        raise _no_item(item_id)
    return echoed_item(msgspec.json.decode(data))


def forget_item(
    session: Session, caller_id: str, conversation_id: str, item_id: str
) -> ConversationObject:
    """Delete an item of a conversation: no later turn reads it."""
    found = _found_free(session, caller_id, conversation_id)
    chain = chain_to(caller_id, found.head_id or "")
    links = session.scalars(select(chain.c.id)).all()
    gone = delete(Item).where(Item.id == item_id, Item.response_id.in_(links))
    if not rows_changed(session, gone):
        raise _no_item(item_id)
    return _shown(found)


def read_turn(
    session: Session, caller_id: str, request: ResponseRequest, most_bytes: int
) -> Transcript:
    """Return the items that a request stands on: those of its conversation or of its chain.

    Raise as `read_transcript` does, `InvalidRequest` too where a response holds the conversation.
    """
    if request.conversation_id:
        found = _found(session, caller_id, request.conversation_id, param="conversation")
        if not request.background:  # `hold_turn` looks, but not for a request that is sent again
            _require_free(found)
        with _told_of("previous_response_id", "conversation"):
            return read_transcript(session, caller_id, found.head_id, request.items, most_bytes)
    previous_id = request.previous_response_id
    hidden = ResponseRow.id == previous_id, ResponseRow.status == HIDDEN
    if previous_id and session.scalar(select(exists().where(*hidden))):
        raise unknown_link(previous_id)
    return read_transcript(session, caller_id, previous_id, request.items, most_bytes)


def hold_turn(session: Session, caller_id: str, response: Json, transcript: Transcript) -> None:
    """Let a background response hold its conversation: `end_turn` frees it."""
    found = _found_at(session, caller_id, response, transcript)
    found.held_by = response["id"]


def end_turn(session: Session, row: ResponseRow) -> None:
    """Free the conversation that a background response held, and make one that is whole its head.

    Nothing is left to be done where the conversation was deleted in the meantime.
    """
    if row.conversation_id:
        found = session.get(ConversationRow, row.conversation_id, with_for_update=True)
        if found and found.held_by == row.id:
            found.held_by = None
            if row.status in CONTINUED:
                _move(found, row.id)


def save_turn(session: Session, caller_id: str, response: Json, transcript: Transcript) -> None:
    """Keep a response that has ended, as the next turn of its conversation where it has one.

    Raise `InvalidRequest` where another turn came first. Of a response that is not to be stored
    only its items are kept, in the conversation.
    """
    is_turn = bool(response["conversation"]) and response["status"] in CONTINUED
    if is_turn:
        try:
            _move(_found_at(session, caller_id, response, transcript), response["id"])
        except NotFound:  # it was deleted in the meantime
            is_turn = False
    if response["store"] or is_turn:
        store.save_response(session, caller_id, response, transcript)


def _add_link(
    session: Session, found: ConversationRow, items: list[Json], most_bytes: int
) -> list[Json]:
    head_id, caller_id = found.head_id, found.caller_id
    with _told_of("input", "items"):
        read = read_transcript(session, caller_id, head_id, items, most_bytes)
    require_readable(read.given)
    refuse_objects(read.given, sent_as="items")
    link: Json = {"id": new_id("resp"), "model": "", "status": HIDDEN, "background": False}
    link |= {"store": False, "conversation": {"id": found.id}, "created_at": time.time()}
    _move(found, link["id"])
    store.save_response(session, caller_id, {**link, "output": []}, read)
    return read.given


def _move(found: ConversationRow, response_id: str) -> None:
    found.head_id, found.used_at = response_id, time.time()


def _found(
    session: Session,
    caller_id: str,
    conversation_id: str,
    *,
    param: str = "conversation_id",
    lock: bool = False,
) -> ConversationRow:
    found = session.get(ConversationRow, conversation_id, with_for_update=lock or None)
    if found is None or found.caller_id != caller_id:
        message = f"Conversation with id '{conversation_id}' not found."
        raise NotFound(message, param=param)
    return found


def _found_free(session: Session, caller_id: str, conversation_id: str) -> ConversationRow:
    found = _found(session, caller_id, conversation_id, lock=True)
    _require_free(found)
    return found


def _found_at(
    session: Session, caller_id: str, response: Json, transcript: Transcript
) -> ConversationRow:
    """Return the conversation of a response, which is still where its turn began."""
    named = response["conversation"]["id"]
    found = _found(session, caller_id, named, param="conversation", lock=True)
    _require_free(found)
    if found.head_id != transcript.head_id:
        raise _locked()
    return found


def _require_free(found: ConversationRow) -> None:
    if found.held_by:
        raise _locked()


def _locked() -> InvalidRequest:
    """Return OpenAI's refusal, which has the status 400 there too."""
    return InvalidRequest(
        "Another request is at work on this conversation: send this one again when that has ended.",
        param="conversation",
        code="conversation_locked",
    )


def _no_item(item_id: str) -> NotFound:
    return NotFound(f"Item with id '{item_id}' not found.", param="item_id")


def _shown(found: ConversationRow) -> ConversationObject:
    return ConversationObject(
        id=found.id,
        created_at=int(found.created_at),
        metadata=msgspec.json.decode(found.labels),
    )


@contextmanager
def _told_of(field: str, theirs: str) -> Iterator[None]:
    """Let errors in a field name the one that the caller has sent."""
    try:
        yield
    except AppError as error:
        if error.param == field:
            error.param = theirs
        raise
