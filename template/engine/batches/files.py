"""Files: uploaded in pieces, read in pieces, never whole in memory."""

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel
from sqlalchemy import delete, select, true
from sqlalchemy.orm import Session

from engine.batches import batch_output
from engine.errors import Conflict, NotFound
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.statements import new_id
from engine.sql.tables import BatchRow, FileChunkRow, FileRow
from engine.sql.tables.batches import OPEN_BATCH

PART_BYTES = 1024 * 1024

FileHook: TypeAlias = Callable[[Session, str, str], None]
"""Called with a caller's id and a file's, in the transaction that deletes the file."""


class FileObject(BaseModel):
    """OpenAI's file object."""

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["processed"] = "processed"


class FileDeleted(BaseModel):
    """OpenAI's answer to a deletion."""

    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


@dataclass(frozen=True, slots=True)
class FilePart:
    """A piece of a file. `position` is where the next one starts, None after the last."""

    data: bytes
    position: int | None


def begin_file(session: Session, caller_id: str, *, filename: str, purpose: str) -> str:
    """Return the id of a new file, which its caller does not see until `finish_file`."""
    file = FileRow(
        id=new_id("file"),
        caller_id=caller_id,
        filename=filename,
        purpose=purpose,
        bytes=0,
        created_at=time.time(),
        complete=False,
    )
    session.add(file)
    return file.id


def append_part(session: Session, caller_id: str, file_id: str, seq: int, data: bytes) -> None:
    """Add the piece number `seq` to a file that is being uploaded."""
    file = _row(session, caller_id, file_id)
    file.bytes += len(data)
    session.add(FileChunkRow(file_id=file_id, seq=seq, data=data))


def finish_file(session: Session, caller_id: str, file_id: str) -> FileObject:
    """Show the file to its caller."""
    file = _row(session, caller_id, file_id)
    file.complete = True
    return _object(file)


def get_file(session: Session, caller_id: str, file_id: str) -> FileObject:
    """Return a file; raise `NotFound` where this caller has none of that id."""
    return _object(_complete_row(session, caller_id, file_id))


def hold_file(session: Session, caller_id: str, file_id: str) -> FileObject:
    """Return a file, and lock it against deletion until this transaction ends."""
    session.get(FileRow, file_id, with_for_update={"read": True})
    return get_file(session, caller_id, file_id)


def hold_files(
    session: Session, caller_id: str, file_ids: Collection[str]
) -> dict[str, FileObject]:
    """Return files by their ids, and lock them as `hold_file` does, in one statement."""
    mine = FileRow.caller_id == caller_id, FileRow.id.in_(file_ids)
    locking = select(FileRow).where(*mine).order_by(FileRow.id).with_for_update(read=True)
    _held = session.scalars(locking).all()  # the session forgets a row that is not kept
    return {file_id: get_file(session, caller_id, file_id) for file_id in file_ids}


def page_of_files(
    session: Session, caller_id: str, query: PageQuery, *, purpose: str | None = None
) -> Page[FileObject]:
    """Return one page of the caller's files."""
    wanted = true() if purpose is None else FileRow.purpose.in_(_stored(purpose))
    mine = FileRow.caller_id == caller_id
    return page_of(session, FileRow, query, _object, mine, FileRow.complete.is_(True), wanted)


def remove_file(
    session: Session, caller_id: str, file_id: str, hooks: Iterable[FileHook] = ()
) -> FileDeleted:
    """Delete a file. Raise `Conflict` while a batch still reads it.

    The hooks are called first, with the caller's id and the file's.
    """
    session.get(FileRow, file_id, with_for_update=True)  # first, so that no batch comes between
    file = _complete_row(session, caller_id, file_id)
    reader = select(BatchRow.id).where(
        BatchRow.input_file_id == file_id, BatchRow.status.in_(OPEN_BATCH)
    )
    if batch_id := session.scalar(reader.limit(1)):
        raise Conflict(f"The batch {batch_id} still reads this file: cancel it first.")
    for hook in hooks:
        hook(session, caller_id, file_id)
    session.execute(delete(FileChunkRow).where(FileChunkRow.file_id == file_id))
    session.delete(file)
    return FileDeleted(id=file_id)


def abandon_file(session: Session, caller_id: str, file_id: str) -> None:
    """Drop an upload that was not finished."""
    mine = FileRow.caller_id == caller_id, FileRow.id == file_id, FileRow.complete.is_(False)
    session.execute(delete(FileRow).where(*mine))  # and with it its pieces


def read_part(session: Session, caller_id: str, file_id: str, position: int) -> FilePart:
    """Return the piece of a file that starts at `position`; the first starts at 0."""
    file = _complete_row(session, caller_id, file_id)
    if file.batch_id is not None:
        lines, following = batch_output.output_lines(session, file.batch_id, file.purpose, position)
        return FilePart(lines, following)
    chunk = session.get(FileChunkRow, (file_id, position))
    if chunk is None:
        return FilePart(b"", None)
    return FilePart(chunk.data, position + 1)


def _row(session: Session, caller_id: str, file_id: str) -> FileRow:
    file = session.get(FileRow, file_id)
    if file is None or file.caller_id != caller_id:
        raise NotFound(f"There is no file {file_id}.", param="file_id")
    return file


def _complete_row(session: Session, caller_id: str, file_id: str) -> FileRow:
    file = _row(session, caller_id, file_id)
    if not file.complete:
        raise NotFound(f"There is no file {file_id}.", param="file_id")
    return file


def _object(file: FileRow) -> FileObject:
    purpose = batch_output.OUTPUT if file.purpose == batch_output.ERRORS else file.purpose
    return FileObject(
        id=file.id,
        bytes=file.bytes,
        created_at=int(file.created_at),
        filename=file.filename,
        purpose=purpose,
    )


def _stored(purpose: str) -> tuple[str, ...]:
    """Return the purposes in SQL of files that are shown with this one."""
    return (
        (batch_output.OUTPUT, batch_output.ERRORS) if purpose == batch_output.OUTPUT else (purpose,)
    )
