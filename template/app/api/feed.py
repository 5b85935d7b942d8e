"""GET /v1/batches/{id}/results: the answers of a batch that still runs."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from app.api.errors import come_back
from app.dependencies.database import CallersRows
from engine.batches import feed
from engine.batches.feed import Feed
from engine.sql.pagination import Page

router = APIRouter(prefix="/v1/batches", tags=["batches"])

WAIT_SECONDS = 1.0
"""When a reader who has all that is there should ask again."""


class FeedQuery(BaseModel):
    """At most `limit` results that came after the one with the id `after`."""

    after: str | None = None
    limit: int = Field(default=100, ge=1, le=1000)


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

    `has_more` says that others follow, now or later; `last_id` is the `after` of the next request.
    Where there is nothing yet, the answer is an empty list with the status 202.
    """
    found = await rows.read(feed.page, batch_id, after=query.after, limit=query.limit)
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
