"""Batch output: one line for each item, made from its row when it is read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from engine.sql.tables import ItemRow

PAGE_ITEMS = 500
PAGE_BYTES = 1024 * 1024
"""Size at which a page ends, so that large answers are never in memory together."""

OUTPUT = "batch_output"
ERRORS = "batch_errors"
WANTED: dict[str, ColumnElement[bool]] = {
    OUTPUT: ItemRow.status == "succeeded",
    ERRORS: ItemRow.status.in_(("failed", "cancelled", "expired")),
}
CUT_OFF = {
    "cancelled": ("batch_cancelled", "The batch was cancelled before this item ran."),
    "expired": ("batch_expired", "The batch expired before this item ran."),
}
UNANSWERED = "worker_crashed"
STATUS = {
    "permission_denied": 403,
    "model_not_found": 404,
    "not_found": 404,
    "model_rate_limited": 429,
    "rate_limit_exceeded": 429,
    "internal_error": 500,
    "model_error": 502,
    "model_unavailable": 503,
    "service_unavailable": 503,
    "overloaded": 503,
    "deadline_exceeded": 504,
}
"""HTTP status of an error code. Any other code is the request's own fault: 400."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An ended item, with the columns of its line. `size` is the number of the response's bytes."""

    id: int
    batch_id: str
    seq: int
    custom_id: str
    status: str
    error_code: str | None
    error_message: str | None
    size: int
    response: bytes = b""


HEAD = (
    ItemRow.id,
    ItemRow.batch_id,
    ItemRow.seq,
    ItemRow.custom_id,
    ItemRow.status,
    ItemRow.error_code,
    ItemRow.error_message,
    func.coalesce(func.length(ItemRow.response), 0),
)


def output_lines(
    session: Session, batch_id: str, purpose: str, position: int
) -> tuple[bytes, int | None]:
    """Return lines of a file from `position` on, and where the next ones start, if any."""
    found = list(
        with_responses(session, within_a_page(_heads(session, batch_id, purpose, position)))
    )
    following = found[-1].seq + 1 if found else None
    return b"".join(output_line(item) + b"\n" for item in found), following


def output_size(
    session: Session, batch_id: str, purpose: str, position: int
) -> tuple[int, int | None]:
    """Return the bytes of `output_lines`, and where the next ones start; read no answer for it."""
    found = _heads(session, batch_id, purpose, position)
    following = found[-1].seq + 1 if found else None
    return sum(len(output_line(item)) + item.size + 1 for item in found), following


def item_heads(session: Session, statement: Select[int]) -> list[Ended]:
    """Return the items of a `select(ItemRow.id)`, all but their responses."""
    return [Ended(*row) for row in session.execute(statement.with_only_columns(*HEAD))]


def within_a_page(items: Iterable[Ended]) -> Iterator[Ended]:
    """Yield items until their responses are `PAGE_BYTES`, at least one."""
    total = 0
    for item in items:
        total += item.size
        yield item
        if total >= PAGE_BYTES:
            return


def with_responses(session: Session, items: Iterable[Ended]) -> Iterator[Ended]:
    """Yield the items with their responses."""
    wanted = {item.id: item for item in items}
    rows = session.execute(select(ItemRow.id, ItemRow.response).where(ItemRow.id.in_(wanted)))
    responses = dict(rows.all())
    for item_id, item in wanted.items():
        yield replace(item, response=responses[item_id] or b"")


def line_id(batch_id: str, seq: int | str = "") -> str:
    """Return the id of the line of an item."""
    return f"batch_req_{batch_id.removeprefix('batch_')}_{seq}"


def output_line(item: Ended) -> bytes:
    """Return the item's line. The stored body is put in as it is, not parsed again.

    As OpenAI has it, `error` is for an item that never got an answer, good or bad.
    """
    name_ = _json(line_id(item.batch_id, item.seq))
    head = b'{"id": %b, "custom_id": %b, ' % (name_, _json(item.custom_id))
    code, message = CUT_OFF.get(item.status, (item.error_code, item.error_message))
    if item.status in CUT_OFF or code == UNANSWERED:
        error = _json({"code": code, "message": message})
        return head + b'"response": null, "error": %b}' % error
    status, body = 200, item.response
    if item.status != "succeeded":
        status = STATUS.get(code or "", 400)
        kind = "server_error" if status >= 500 else "invalid_request_error"
        body = _json({"error": {"message": message, "type": kind, "param": None, "code": code}})
    response = b'{"status_code": %d, "request_id": %b, "body": %b}' % (status, name_, body)
    return head + b'"response": %b, "error": null}' % response


def _heads(session: Session, batch_id: str, purpose: str, position: int) -> list[Ended]:
    mine = select(ItemRow.id).where(ItemRow.batch_id == batch_id, ItemRow.seq >= position)
    return item_heads(session, mine.where(WANTED[purpose]).order_by(ItemRow.seq).limit(PAGE_ITEMS))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
