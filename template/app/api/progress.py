"""GET /v1/batches/{id}/events: a batch as it changes, as server-sent events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from fastapi import APIRouter, Depends, Response

from app.api.streaming import EventStream, event
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.resources import Shared
from app.dependencies.watching import watching
from engine.batches import batches
from engine.batches.batches import FINAL, BatchObject

router = APIRouter(prefix="/v1/batches", tags=["batches"])

LOOK_SECONDS = 1.0
"""How often a watched batch is read: soon enough for a reader, and seldom for the database."""

COME_BACK = b": this server stops, please connect again\nretry: 1000\n"
"""Fields of the last event of a process that ends. Browsers come back by themselves, after 1,000 ms
(https://html.spec.whatwg.org/multipage/server-sent-events.html). They need no data for it, but
OpenAI's clients take each event without any for broken JSON."""


@router.get(
    "/{batch_id}/events",
    dependencies=[Depends(watching)],
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Batch objects."}},
)
async def watch_batch(batch_id: str, rows: CallersRows, shared: Shared) -> EventStream:
    """Send the batch now, whenever its status or counts change, and last in its final status.

    A process that stops ends the stream before, and asks to connect again. Who comes back gets the
    present state first: nothing needs replaying.
    """
    batch = await rows.read(batches.get, batch_id)
    return EventStream(_changes(rows, batch, shared.drain.begun), {})


async def _changes(
    rows: CallerDatabase, batch: BatchObject, stopping: asyncio.Event
) -> AsyncGenerator[bytes, None]:
    yield _event(batch)
    while batch.status not in FINAL and not stopping.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()
        known, batch = batch, await rows.read(batches.get, batch.id)
        if batch != known:
            yield _event(batch)
    if batch.status not in FINAL:
        yield COME_BACK + _event(batch)


def _event(batch: BatchObject) -> bytes:
    return event(batch.model_dump_json().encode())
