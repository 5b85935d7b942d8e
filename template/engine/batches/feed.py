"""Feed of a batch's results while it runs: each once, in the order in which its items end.

An item that comes to an end of its own gets the next number of its batch, its place
(`items.record_items`). A time would not do: the transaction that took the earlier one may commit
later, and a reader past it would never see it. Neither would the input's order, which one retried
item would hold up. Items that were cut off, or given up with the workers that they took down, have
no place: they are read when the batch has ended, after all items with a place.
"""

from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from engine.batches import batch_output, batches
from engine.batches.batch_output import Ended
from engine.errors import InvalidRequest
from engine.sql.tables import ItemRow

LONGEST_SEQ = 9
"""Digits of the largest number of a line: more would be more lines than any file has."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Lines that came after a known one. `has_more` says that more lines follow, now or later."""

    lines: list[bytes]
    first_id: str | None
    last_id: str | None
    has_more: bool


@dataclass(frozen=True, slots=True)
class Last:
    """The item at which the last page ended."""

    place: int | None
    seq: int


def page_of_results(
    session: Session, caller_id: str, batch_id: str, *, after: str | None, limit: int
) -> Feed:
    """Return up to `limit` lines after the one with the id `after`; fewer where they are large.

    Raise `InvalidRequest` where `after` is no line of this batch that has ended.
    """
    ended = batches.get_batch(session, caller_id, batch_id).status in batches.FINAL
    last = None if after is None else _find(session, batch_id, after)
    heads = _placed(session, batch_id, last, limit + 1)
    if ended:
        heads += _unplaced(session, batch_id, last, limit + 1 - len(heads))
    shown = list(batch_output.with_responses(session, batch_output.within_a_page(heads[:limit])))
    names = [batch_output.line_id(batch_id, item.seq) for item in shown]
    return Feed(
        lines=[batch_output.output_line(item) for item in shown],
        first_id=names[0] if names else None,
        last_id=names[-1] if names else after,
        has_more=not ended or len(shown) < len(heads),
    )


def _find(session: Session, batch_id: str, after: str) -> Last:
    seq = after.removeprefix(batch_output.line_id(batch_id))
    if len(seq) <= LONGEST_SEQ and seq.isdecimal():
        found = _of(batch_id).where(ItemRow.seq == int(seq), ItemRow.finished_at.is_not(None))
        row = session.execute(found.with_only_columns(ItemRow.place, ItemRow.seq)).one_or_none()
        if row is not None:
            return Last(*row)
    raise InvalidRequest(f"{after} is no result of this batch: use its `last_id`.", param="after")


def _placed(session: Session, batch_id: str, last: Last | None, limit: int) -> list[Ended]:
    if last and last.place is None:
        return []
    placed = _of(batch_id).where(ItemRow.place > (last.place if last else 0))
    return batch_output.item_heads(session, placed.order_by(ItemRow.place).limit(limit))


def _unplaced(session: Session, batch_id: str, last: Last | None, limit: int) -> list[Ended]:
    unplaced = _of(batch_id).where(ItemRow.place.is_(None), ItemRow.finished_at.is_not(None))
    if last and last.place is None:
        unplaced = unplaced.where(ItemRow.seq > last.seq)
    return batch_output.item_heads(session, unplaced.order_by(ItemRow.seq).limit(limit))


def _of(batch_id: str) -> Select[int]:
    return select(ItemRow.id).where(ItemRow.batch_id == batch_id)
