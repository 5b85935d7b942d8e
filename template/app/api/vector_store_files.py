"""Files in a vector store, one by one and in batches: attached, followed, removed."""

import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from engine.documents import attached, file_batches
from engine.documents.attached import CHUNKS
from engine.documents.resource import documents_of
from engine.documents.schema import (
    ContentPage,
    DeletedStoreFile,
    FileBatchObject,
    NewFileBatch,
    NewStoreFile,
    StoreFileObject,
    StoreFilePageQuery,
    StoreFileUpdate,
)
from engine.errors import NotFound
from engine.models.wire import encode_json
from engine.process.queue import Kind
from engine.sql.pagination import Page
from engine.watch.telemetry import request_id

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}", tags=["vector stores"])

NewFileBody = Annotated[NewStoreFile, Depends(json_body(NewStoreFile))]
NewBatchBody = Annotated[NewFileBatch, Depends(json_body(NewFileBatch))]
UpdateBody = Annotated[StoreFileUpdate, Depends(json_body(StoreFileUpdate))]
FileQuery = Annotated[StoreFilePageQuery, Query()]

YOUNG = 60.0
POLL_AFTER = "openai-poll-after-ms"
"""Header by which OpenAI's clients know when to ask again."""


@router.post(
    "/files",
    openapi_extra=describe_body(NewStoreFile, {"file_id": "file_0123"}),
    responses=failures(NotFound),
)
async def attach_file(
    vector_store_id: str, new: NewFileBody, once: Once, shared: Shared
) -> StoreFileObject:
    """Attach a file. A worker ingests it; one that is there already is returned as it is."""
    attaching = await once.write(
        attached.attach_file,
        vector_store_id,
        new,
        settings=documents_of(shared).settings,
        request_id=request_id.get(),
    )
    await shared.queue.wake(Kind.DOCUMENTS)
    return attaching


@router.get("/files", responses=failures(NotFound))
async def list_files(
    vector_store_id: str, rows: CallersRows, query: FileQuery
) -> Page[StoreFileObject]:
    """List the files of a vector store, the newest first."""
    return await rows.read(attached.page_of_store_files, vector_store_id, query)


@router.get("/files/{file_id}", responses=failures(NotFound))
async def get_file(
    vector_store_id: str, file_id: str, rows: CallersRows, response: Response
) -> StoreFileObject:
    """Return a file of a vector store with its status."""
    file = await rows.read(attached.get_store_file, vector_store_id, file_id)
    response.headers[POLL_AFTER] = poll_after(file.created_at)
    return file


@router.post(
    "/files/{file_id}",
    openapi_extra=describe_body(StoreFileUpdate, {"attributes": {"year": 2026}}),
    responses=failures(NotFound),
)
async def update_file(
    vector_store_id: str, file_id: str, update: UpdateBody, rows: CallersRows
) -> StoreFileObject:
    """Replace the attributes of a file, by which searches filter."""
    return await rows.write(attached.update_store_file, vector_store_id, file_id, update)


@router.delete("/files/{file_id}", responses=failures(NotFound))
async def detach_file(
    vector_store_id: str, file_id: str, rows: CallersRows, shared: Shared
) -> DeletedStoreFile:
    """Remove a file from a vector store. The file itself stays."""
    gone = await rows.write(attached.detach_file, vector_store_id, file_id, request_id.get())
    await shared.queue.wake(Kind.JOBS)
    return gone


@router.get(
    "/files/{file_id}/content",
    response_class=StreamingResponse,
    responses={200: {"model": ContentPage}, **failures(NotFound)},
)
async def read_content(vector_store_id: str, file_id: str, rows: CallersRows) -> StreamingResponse:
    """Return the text of a file as it was read, a part for each chunk."""
    await rows.read(attached.get_store_file, vector_store_id, file_id)
    parts = _content(rows, vector_store_id, file_id)
    return StreamingResponse(parts, media_type="application/json")


@router.post(
    "/file_batches",
    openapi_extra=describe_body(NewFileBatch, {"file_ids": ["file_0123"]}),
    responses=failures(NotFound),
)
async def create_file_batch(
    vector_store_id: str, new: NewBatchBody, once: Once, shared: Shared
) -> FileBatchObject:
    """Attach up to 2,000 files together."""
    batch = await once.write(
        file_batches.create_file_batch,
        vector_store_id,
        new,
        settings=documents_of(shared).settings,
        request_id=request_id.get(),
    )
    await shared.queue.wake(Kind.DOCUMENTS)
    return batch


@router.get("/file_batches/{batch_id}", responses=failures(NotFound))
async def get_file_batch(
    vector_store_id: str, batch_id: str, rows: CallersRows, response: Response
) -> FileBatchObject:
    """Return a batch of files with their numbers by status."""
    batch = await rows.read(file_batches.get_file_batch, vector_store_id, batch_id)
    response.headers[POLL_AFTER] = poll_after(batch.created_at)
    return batch


@router.post("/file_batches/{batch_id}/cancel", responses=failures(NotFound))
async def cancel_file_batch(
    vector_store_id: str, batch_id: str, rows: CallersRows, shared: Shared
) -> FileBatchObject:
    """Cancel the files of a batch that are not ingested yet."""
    batch = await rows.write(
        file_batches.cancel_file_batch, vector_store_id, batch_id, request_id.get()
    )
    await shared.queue.wake(Kind.JOBS)
    return batch


@router.get("/file_batches/{batch_id}/files", responses=failures(NotFound))
async def list_batch_files(
    vector_store_id: str, batch_id: str, rows: CallersRows, query: FileQuery
) -> Page[StoreFileObject]:
    """List the files of a batch."""
    return await rows.read(file_batches.page_of_batch_files, vector_store_id, batch_id, query)


def poll_after(created_at: float) -> str:
    """Return the milliseconds after which to ask again: fewer while a file is young."""
    return "250" if time.time() - created_at < YOUNG else "2000"


async def _content(rows: CallerDatabase, store_id: str, file_id: str) -> AsyncIterator[bytes]:
    """Yield a page of all parts as JSON, read some at once: a file may have 100 MB of text."""
    empty = ContentPage(data=[]).model_dump_json().encode()
    begin, _, end = empty.partition(b"[]")
    yield begin + b"["
    seq = 0
    while parts := await rows.read(attached.content_after, store_id, file_id, seq):
        encoded = b",".join(encode_json(part.model_dump()) for part in parts)
        yield (b"," if seq else b"") + encoded
        seq += CHUNKS
    yield b"]" + end
