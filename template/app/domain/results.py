"""What a batch puts out: one line for each item, made from its row when it is read."""

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.domain.tables import ItemRow

PAGE = 500
OUTPUT = "batch_output"
ERRORS = "batch_errors"
SUCCEEDED = ("succeeded",)
UNSUCCESSFUL = ("failed", "cancelled", "expired")

CUT_OFF = {
    "cancelled": ("batch_cancelled", "The batch was cancelled before this item ran."),
    "expired": ("batch_expired", "The batch expired before this item ran."),
}


def lines(session: Session, batch_id: str, purpose: str, position: int) -> tuple[bytes, int | None]:
    """Return the lines of items from `position` on, and where the next page starts, if any."""
    wanted = SUCCEEDED if purpose == OUTPUT else UNSUCCESSFUL
    items = session.scalars(
        select(ItemRow)
        .where(ItemRow.batch_id == batch_id, ItemRow.seq >= position, ItemRow.status.in_(wanted))
        .order_by(ItemRow.seq)
        .limit(PAGE)
    ).all()
    following = items[-1].seq + 1 if len(items) == PAGE else None
    return b"".join(line(item) for item in items), following


def line(item: ItemRow) -> bytes:
    """Return the item's line. The stored body is put in as it is, not parsed again."""
    name = f"batch_req_{item.batch_id.removeprefix('batch_')}_{item.seq}"
    head = b'{"id": %b, "custom_id": %b, ' % (_json(name), _json(item.custom_id))
    if item.status == "succeeded":
        response = b'{"status_code": 200, "request_id": %b, "body": %b}'
        response %= (_json(name), item.response)
        return head + b'"response": %b, "error": null}\n' % response
    code, message = CUT_OFF.get(item.status, (item.error_code, item.error_message))
    error = _json({"code": code, "message": message})
    return head + b'"response": null, "error": %b}\n' % error


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
