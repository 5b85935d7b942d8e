"""Transcripts: what a request stands on, the items of its chain and its own."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import CTE, Row, and_, func, literal, select
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest, NotFound
from engine.models.wire import Json
from engine.responses.schema import CONTINUED, HIDDEN
from engine.sql.statements import new_id
from engine.sql.tables import ResponseItemRow as Item
from engine.sql.tables import ResponseRow

LONGEST_CHAIN = 500
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
