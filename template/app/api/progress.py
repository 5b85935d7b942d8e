"""A batch that still runs: GET /v1/batches/{id}/events and /v1/batches/{id}/results."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from app.api.errors import come_back
from app.api.streaming import EventStream, event_of
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.resources import Shared
from app.dependencies.stream_slots import hold_watch
from engine.batches import batches, feed
from engine.batches.batches import FINAL, BatchObject
from engine.batches.feed import Feed
from engine.models.interface import Chunk
from engine.sql.pagination import Page

router = APIRouter(prefix="/v1/batches", tags=["batches"])

LOOK_SECONDS = 1.0
"""Seconds between two reads of a watched batch: short for a reader, long for the database."""

COME_BACK = b": this server stops, please connect again\nretry: 1000\n"
"""Fields of the last event of a process that ends. Browsers come back by themselves, after 1,000 ms
(https://html.spec.whatwg.org/multipage/server-sent-events.html). They need no data for it, but
OpenAI's clients take each event without any for broken JSON."""


WAIT_SECONDS = 1.0
"""Seconds after which a reader that has all results so far should ask again."""


class FeedQuery(BaseModel):
    """At most `limit` results that came after the one with the id `after`."""

    after: str | None = None
    limit: int = Field(default=100, ge=1, le=1000)


@router.get(
    "/{batch_id}/events",
    dependencies=[Depends(hold_watch)],
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Batch objects."}},
)
async def watch_batch(batch_id: str, rows: CallersRows, shared: Shared) -> EventStream:
    """Send the batch now, whenever its status or counts change, and last in its final status.

    A process that stops ends the stream before, and asks to connect again. A client that
    reconnects gets the present state first: nothing needs replaying.
    """
    batch = await rows.read(batches.get_batch, batch_id)
    return EventStream(_changes(rows, batch, shared.drain.begun), {})


async def _changes(
    rows: CallerDatabase, batch: BatchObject, stopping: asyncio.Event
) -> AsyncGenerator[Chunk, None]:
    yield _event(batch)
    while batch.status not in FINAL and not stopping.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()
        known, batch = batch, await rows.read(batches.get_batch, batch.id)
        if batch != known:
            yield _event(batch)
    if batch.status not in FINAL:
        yield _event(batch, COME_BACK)


def _event(batch: BatchObject, before: bytes = b"") -> Chunk:
    return Chunk(before + event_of(batch.model_dump_json().encode()))


@router.get(
    "/{batch_id}/results",
    response_class=Response,
    responses={
        200: {"model": Page[dict[str, Any]], "description": "Lines as in the output files."},
        202: {"model": Page[dict[str, Any]], "description": "None yet: see `Retry-After`."},
    },
)
async def read_results(
    batch_id: str, rows: CallersRows, query: Annotated[FeedQuery, Query()]
) -> Response:
    """Give the next results, each once, in the order in which they came.

    `has_more` says that more results follow, now or later; `last_id` is the `after` of the next
    request. Where there is nothing yet, the answer is an empty list with the status 202.
    """
    found = await rows.read(feed.page_of_results, batch_id, after=query.after, limit=query.limit)
    waiting = found.has_more and not found.lines
    headers = come_back(WAIT_SECONDS) if waiting else {}
    return Response(_json(found), 202 if waiting else 200, headers, "application/json")


def _json(found: Feed) -> bytes:
    first, last = json.dumps(found.first_id).encode(), json.dumps(found.last_id).encode()
    rest = b'"first_id": %b, "last_id": %b, "has_more": %b' % (
        first,
        last,
        b"true" if found.has_more else b"false",
    )
    return b'{"object": "list", "data": [%b], %b}' % (b", ".join(found.lines), rest)
