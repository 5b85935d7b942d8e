"""A batch of the tests: submitted, followed, checked at its end."""

import json

from openai import OpenAI
from openai.types import Batch
from sqlalchemy import func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.domain.tables import ItemRow
from tests.lines import chats
from tests.service import eventually


def submit(client: OpenAI, items: int) -> Batch:
    """Return a new batch of chats, with the ids item-0, item-1, …"""
    file = client.files.create(file=("in.jsonl", chats(items)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def completed(client: OpenAI, batch: Batch) -> int:
    """Return how many items have succeeded."""
    counts = client.batches.retrieve(batch.id).request_counts
    return counts.completed if counts else 0


def check_whole(client: OpenAI, batch: Batch, items: int) -> None:
    """Wait for the end; each item must have its one answer."""
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    end = client.batches.retrieve(batch.id)
    assert end.request_counts
    assert (end.request_counts.completed, end.request_counts.failed) == (items, 0)
    assert end.output_file_id
    answers = client.files.content(end.output_file_id).text.splitlines()
    expected = sorted(f"item-{number}" for number in range(items))
    assert sorted(json.loads(answer)["custom_id"] for answer in answers) == expected


def total(session: Session, column: InstrumentedAttribute[int], batch_id: str) -> int:
    """Return the sum of a column over the items of a batch."""
    return session.scalar(select(func.sum(column)).where(ItemRow.batch_id == batch_id)) or 0
