"""Batch input: checks the lines of an uploaded file and makes them the items of a batch."""

import hashlib
from codecs import BOM_UTF8
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from engine.batches import files, lanes
from engine.batches.batches import BatchWork, LineError
from engine.batches.lanes import LaneHold
from engine.batches.readiness import QUARANTINE
from engine.body import read_body
from engine.errors import InvalidRequest
from engine.operations.operation import Operation
from engine.process.queue import Kind
from engine.resources import Resources
from engine.sql.statements import now
from engine.sql.tables import BatchRow, ItemRow
from engine.work import outbox

MOST_ERRORS = 100
"""Line errors that are reported: a hundred are enough to find the cause."""

MOST_ID = 512

MOST_ROWS = 1000
"""Rows of one statement: 8,700, of 1 MiB of short lines, kept a worker's loop busy for 70 ms."""


class Line(msgspec.Struct):
    """One line of a batch file; the body is kept as it was written."""

    custom_id: str
    method: str
    url: str
    body: msgspec.Raw


@dataclass(frozen=True, slots=True)
class NewItem:
    """A line that can be run."""

    seq: int
    custom_id: str
    body: bytes


class BadLineError(Exception):
    """A line that cannot be run."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.param = param


@dataclass(slots=True)
class BatchInput:
    """Checks lines one after the other; the faults gather in `errors`."""

    operation: Operation[Any]
    most_lines: int
    longest_line: int
    lines: int = 0
    errors: list[LineError] = field(default_factory=list)
    _number: int = 0
    _seen: set[bytes] = field(default_factory=set)

    def read(self, lines: Iterable[bytes]) -> list[NewItem]:
        """Return the good ones of the next lines. Empty lines are no items."""
        return list(self._items(lines))

    def end(self) -> None:
        """Note the faults of the file as a whole: no lines, or too many."""
        if self.lines == 0:
            self._note(BadLineError("empty_file", "The file has no lines."), None)
        if self.lines > self.most_lines:
            message = f"The file has more than the {self.most_lines} lines that a batch may have."
            self._note(BadLineError("too_many_lines", message), None)

    def _items(self, lines: Iterable[bytes]) -> Iterator[NewItem]:
        for raw in lines:
            self._number += 1
            text = raw.removeprefix(BOM_UTF8) if self._number == 1 else raw
            if not text.strip():
                continue
            self.lines += 1
            if self.lines > self.most_lines:
                return
            try:
                yield self._item(text)
            except BadLineError as error:
                self._note(error, self._number)

    def _item(self, text: bytes) -> NewItem:
        if len(text) > self.longest_line:
            message = f"The line has more than {self.longest_line} bytes."
            raise BadLineError("line_too_long", message)
        line = _parse(text, self.operation)
        seen = hashlib.sha256(line.custom_id.encode()).digest()  # 50,000 long ids are 100 MB
        if seen in self._seen:
            message = f"The custom_id {line.custom_id} stands in an earlier line."
            raise BadLineError("duplicate_custom_id", message, "custom_id")
        self._seen.add(seen)
        return NewItem(self.lines - 1, line.custom_id, bytes(line.body))

    def _note(self, error: BadLineError, line: int | None) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(
                LineError(code=error.code, message=str(error), line=line, param=error.param)
            )


def _parse(text: bytes, operation: Operation[Any]) -> Line:
    try:
        line = msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        message = f"The line is no JSON object of custom_id, method, url and body: {error}."
        raise BadLineError("invalid_json_line", message) from error
    if line.method != "POST":
        raise BadLineError("invalid_method", "The method must be POST.", "method")
    if line.url != operation.url:
        message = f"The url must be the batch's endpoint, {operation.url}."
        raise BadLineError("mismatched_url", message, "url")
    if not 1 <= len(line.custom_id) <= MOST_ID or "\0" in line.custom_id:
        message = f"The custom_id must have 1 to {MOST_ID} characters, none of them NUL."
        raise BadLineError("invalid_custom_id", message, "custom_id")
    _check_body(operation, bytes(line.body))
    return line


def _check_body(operation: Operation[Any], body: bytes) -> None:
    try:
        request = read_body(operation.body, body)
    except InvalidRequest as error:
        param = f"body.{error.param}" if error.param else "body"
        raise BadLineError("invalid_request", error.message, param) from error
    if getattr(request, "stream", False):
        raise BadLineError("invalid_request", "A batch cannot stream.", "body.stream")


async def take_in(resources: Resources, hold: LaneHold, work: BatchWork) -> None:
    """Make the lines of the batch's file its items, or end the batch where lines are wrong."""
    settings, write = resources.settings, resources.database.write
    checked = BatchInput(
        resources.operations[work.endpoint], settings.max_batch_lines, settings.max_body_bytes
    )
    await write(restart_input, hold)
    async for lines in _lines_of(resources, work):
        new_items = await resources.offload.in_thread(checked.read, lines)
        await write(add_items, hold, new_items)
    checked.end()
    if checked.errors:
        await write(reject_input, hold, checked.errors)
        await resources.queue.wake(Kind.WEBHOOKS)
        return
    await write(accept_input, hold, checked.lines, settings.batch_lanes)
    for _ in range(1, settings.batch_lanes):
        await resources.queue.wake(Kind.BATCHES)


async def _lines_of(resources: Resources, work: BatchWork) -> AsyncIterator[list[bytes]]:
    splitter = LineSplitter(resources.settings.max_body_bytes)
    position: int | None = 0
    while position is not None:
        part = await resources.database.read(
            files.read_part, work.caller_id, work.input_file_id, position
        )
        yield splitter.feed(part.data)
        position = part.position
    yield splitter.end()


def restart_input(session: Session, hold: LaneHold) -> None:
    """Delete the items of a batch input that did not come to its end."""
    lanes.require_lane(session, hold)
    session.execute(delete(ItemRow).where(ItemRow.batch_id == hold.batch_id))


def add_items(session: Session, hold: LaneHold, items: list[NewItem]) -> None:
    """Add items, which no worker claims before `accept_input`."""
    lanes.require_lane(session, hold)
    rows = [
        {"batch_id": hold.batch_id, "seq": i.seq, "custom_id": i.custom_id, "body": i.body}
        for i in items
    ]
    for start in range(0, len(rows), MOST_ROWS):
        session.execute(insert(ItemRow), rows[start : start + MOST_ROWS])


def accept_input(session: Session, hold: LaneHold, total: int, most_lanes: int) -> None:
    """Open the batch for work on `most_lanes` lanes, unless it has been cancelled."""
    lanes.require_lane(session, hold)
    batch = session.get_one(BatchRow, hold.batch_id, with_for_update=True)
    batch.total = total
    if batch.status != "validating":
        return
    batch.status = "in_progress"
    batch.in_progress_at = now()
    lanes.open_lanes(session, batch, [*range(1, most_lanes), QUARANTINE])


def reject_input(session: Session, hold: LaneHold, errors: list[LineError]) -> None:
    """End the batch as failed, unless it has been cancelled: none of its items runs."""
    restart_input(session, hold)
    batch = session.get_one(BatchRow, hold.batch_id, with_for_update=True)
    if batch.status != "validating":
        return
    batch.status = "failed"
    batch.errors = [error.model_dump() for error in errors]
    batch.failed_at = now()
    outbox.enqueue_event(session, batch.caller_id, "batch.failed", batch.id)


class LineSplitter:
    """Gives the lines of a file that comes in pieces, one after the other.

    A line that is longer than `longest` bytes is cut to one more than that: enough to see that it
    is too long, and little enough that a file without line breaks is never whole in memory.
    """

    def __init__(self, longest: int) -> None:
        self._most = longest + 1
        self._begun = bytearray()

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without their line breaks."""
        *ended, begun = piece.split(b"\n")
        if not ended:
            self._extend(begun)
            return []
        self._extend(ended[0])
        lines = [bytes(self._begun), *(line[: self._most] for line in ended[1:])]
        self._begun = bytearray(begun[: self._most])
        return lines

    def end(self) -> list[bytes]:
        """Return the rest after the last line break, as one line."""
        return [bytes(self._begun)]

    def _extend(self, more: bytes) -> None:
        self._begun += more[: self._most - len(self._begun)]
