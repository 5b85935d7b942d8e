"""GET /v1/batches/{id}/events: a batch as it changes, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator

from fastapi import APIRouter, Depends, Response

from app.api.streaming import EventStream, event
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.deadline import Deadline
from app.dependencies.watching import watching
from app.domain import batches
from app.domain.batches import FINAL, BatchObject

router = APIRouter(prefix="/v1/batches", tags=["batches"])

LOOK_SECONDS = 1.0
"""How often a watched batch is read: soon enough for a reader, and seldom for the database."""


@router.get(
    "/{batch_id}/events",
    dependencies=[Depends(watching)],
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Batch objects."}},
)
async def watch_batch(batch_id: str, rows: CallersRows) -> EventStream:
    """Send the batch now, whenever its status or counts change, and last in its final status.

    Who comes back after a broken connection gets the present state first: nothing needs replaying.
    """
    batch = await rows.read(batches.get, batch_id)
    return EventStream(_changes(rows, batch), Deadline(None), {})


async def _changes(rows: CallerDatabase, batch: BatchObject) -> AsyncGenerator[bytes, None]:
    yield event(batch.model_dump_json().encode())
    while batch.status not in FINAL:
        await asyncio.sleep(LOOK_SECONDS)
        known, batch = batch, await rows.read(batches.get, batch.id)
        if batch != known:
            yield event(batch.model_dump_json().encode())
