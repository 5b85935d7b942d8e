"""Batches: hand over to zone 3, follow, cancel. No item ever runs here."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import Field

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.caller import Flags
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from engine.batches import batches, retry
from engine.batches.batches import BatchObject
from engine.body import Body
from engine.errors import Conflict, NotFound, Unsupported
from engine.process.queue import Kind
from engine.sql.pagination import Page, PageQuery
from engine.watch.telemetry import request_id

router = APIRouter(prefix="/v1/batches", tags=["batches"])


class NewBatch(Body):
    """Body of `POST /v1/batches`."""

    endpoint: str
    input_file_id: str = Field(pattern=r"^[\w-]+$", max_length=100)
    completion_window: Literal["24h"]
    metadata: (
        dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None
    ) = Field(default=None, max_length=16)
    output_expires_after: dict[str, Any] | None = None
    """OpenAI's, but refused: outputs are kept as long as the service keeps batches."""


NewBatchBody = Annotated[NewBatch, Depends(json_body(NewBatch))]

EXAMPLE = {
    "endpoint": "/v1/chat/completions",
    "input_file_id": "file_of_an_upload",
    "completion_window": "24h",
}


@router.post("", openapi_extra=describe_body(NewBatch, EXAMPLE), responses=failures(NotFound))
async def create_batch(new: NewBatchBody, once: Once, flags: Flags, shared: Shared) -> BatchObject:
    """Commit a batch, then wake a worker up: only a committed batch is handed over.

    A lost wake-up costs time, not the batch: the workers also look by themselves.
    """
    if new.output_expires_after:
        message = "Outputs are kept as long as batches: leave output_expires_after out."
        raise Unsupported(message, param="output_expires_after")
    batch = await once.write(
        batches.create_batch,
        endpoint=new.endpoint,
        input_file_id=new.input_file_id,
        completion_window=new.completion_window,
        metadata=new.metadata,
        operations=shared.operations,
        flags=flags,
        request_id=request_id.get(),
    )
    await shared.queue.wake(Kind.BATCHES)
    return batch


@router.get("")
async def list_batches(
    rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[BatchObject]:
    """List the caller's batches."""
    return await rows.read(batches.page_of_batches, query)


@router.get("/{batch_id}")
async def get_batch(batch_id: str, rows: CallersRows) -> BatchObject:
    """Return a batch with its status and counts."""
    return await rows.read(batches.get_batch, batch_id)


@router.post("/{batch_id}/cancel", responses=failures(Conflict))
async def cancel_batch(batch_id: str, rows: CallersRows) -> BatchObject:
    """Cancel a batch: ended items stay, items in flight are dropped, waiting items are cut off."""
    return await rows.write(batches.cancel_batch, batch_id)


@router.post("/{batch_id}/retry")
async def retry_batch(batch_id: str, once: Once, flags: Flags, shared: Shared) -> BatchObject:
    """Make a new batch of the items of an ended one that failed, expired or were cancelled."""
    batch = await once.write(
        retry.retry_batch,
        batch_id,
        most_lanes=shared.settings.batch_lanes,
        operations=shared.operations,
        flags=flags,
        request_id=request_id.get(),
    )
    await shared.queue.wake(Kind.BATCHES)
    return batch
