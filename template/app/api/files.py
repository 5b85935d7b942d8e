"""Files: upload, list, read, delete. In pieces, so that no file is ever whole in memory."""

import hashlib
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from starlette.datastructures import UploadFile

from app.api.errors import failures
from app.dependencies.body import UploadForm
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.idempotency import Once, OnceDatabase
from app.dependencies.resources import Shared
from engine.batches import files
from engine.batches.files import PART_BYTES, FileDeleted, FileObject
from engine.errors import (
    Conflict,
    InvalidRequest,
    TooLarge,
    Unsupported,
)
from engine.options import installed_options
from engine.sql.pagination import Page, PageQuery

router = APIRouter(prefix="/v1/files", tags=["files"])

PURPOSES = sorted({"batch"}.union(*(each.purposes for each in installed_options().values())))
HOOKS = [each.file_deleted for each in installed_options().values() if each.file_deleted]

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                    },
                }
            }
        },
    }
}


class FileQuery(PageQuery):
    """Query of `GET /v1/files`."""

    purpose: str | None = None


@router.post("", openapi_extra=FORM)
async def upload(form: UploadForm, rows: CallersRows, once: Once, shared: Shared) -> FileObject:
    """Store a file for a batch, or for an option with files of its own."""
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise InvalidRequest("Send the file as the form field `file`.", param="file")
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        names = " or ".join(f"`{name}`" for name in PURPOSES)
        raise InvalidRequest(f"The purpose must be {names}.", param="purpose")
    if any(name.startswith("expires_after") for name in form):
        message = "Files are kept as long as the service keeps batches: leave expires_after out."
        raise Unsupported(message, param="expires_after")
    if (file.size or 0) > shared.settings.max_file_bytes:
        raise TooLarge(f"A file may have {shared.settings.max_file_bytes} bytes.", param="file")
    return await _store(rows, once, file, purpose)


@router.get("")
async def list_files(rows: CallersRows, query: Annotated[FileQuery, Query()]) -> Page[FileObject]:
    """List the caller's files."""
    return await rows.read(files.page_of_files, query, purpose=query.purpose)


@router.get("/{file_id}")
async def get_file(file_id: str, rows: CallersRows) -> FileObject:
    """Describe a file."""
    return await rows.read(files.get_file, file_id)


@router.get(
    "/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def read_file(file_id: str, rows: CallersRows) -> StreamingResponse:
    """Return the content of a file."""
    file = await rows.read(files.get_file, file_id)
    headers = {"content-length": str(file.bytes)}
    return StreamingResponse(
        _parts(rows, file_id), media_type="application/octet-stream", headers=headers
    )


@router.delete("/{file_id}", responses=failures(Conflict))
async def delete_file(file_id: str, rows: CallersRows) -> FileDeleted:
    """Delete a file that no open batch reads."""
    return await rows.write(files.remove_file, file_id, HOOKS)


async def _store(
    rows: CallerDatabase, once: OnceDatabase, file: UploadFile, purpose: str
) -> FileObject:
    """Store a file piece by piece: its caller sees only a whole one, a broken one is deleted."""
    file_id = await rows.write(files.begin_file, filename=_name(file), purpose=purpose)
    try:
        seq, digest = 0, hashlib.sha256(f"{_name(file)}\0{purpose}".encode())
        while data := await file.read(PART_BYTES):
            digest.update(data)
            await rows.write(files.append_part, file_id, seq, data)
            seq += 1
        return await once.write_for(digest.digest(), files.finish_file, file_id)
    finally:
        await rows.write(files.abandon_file, file_id)  # a begun transaction ends


def _name(file: UploadFile) -> str:
    return (file.filename or "upload").replace("\0", "")  # which PostgreSQL cannot store


async def _parts(rows: CallerDatabase, file_id: str) -> AsyncIterator[bytes]:
    position: int | None = 0
    while position is not None:
        part = await rows.read(files.read_part, file_id, position)
        yield part.data
        position = part.position
