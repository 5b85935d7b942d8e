"""A batch that tries the unanswered items of another batch again."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Batch
from sqlalchemy.orm import Session

from engine.sql.tables import BatchRow
from tests.batches import HeldBatch, HoldBatch, ended, lines_of, submit
from tests.lines import chat_body, chats, jsonl, line
from tests.service import Service


@pytest.fixture
def held(live: Service, key: str, hold_batch: HoldBatch) -> HeldBatch:
    return hold_batch(live, key, 5)


def retry(client: OpenAI, batch_id: str) -> Batch:
    return client.post(f"/batches/{batch_id}/retry", cast_to=Batch)


def test_only_what_failed_or_was_cut_off_runs_again(client: OpenAI, held: HeldBatch) -> None:
    held.record(0, 3)
    held.record(1, failed=True)
    held.close("expired")
    again = ended(client, retry(client, held.id))
    assert again.status == "completed"
    assert again.request_counts
    assert again.request_counts.model_dump() == {"total": 3, "completed": 3, "failed": 0}
    answers = lines_of(client, again.output_file_id)
    assert [answer["custom_id"] for answer in answers] == ["item-1", "item-2", "item-4"]


def test_a_retry_says_of_what_and_is_otherwise_like_the_first(
    live: Service, client: OpenAI, held: HeldBatch
) -> None:
    live.in_database(_describe, held.id, {"team": "a"})
    held.close("cancelled")
    again = retry(client, held.id)
    assert again.to_dict()["retry_of"] == held.id
    assert (again.status, again.metadata) == ("in_progress", {"team": "a"})
    assert again.in_progress_at
    assert again.expires_at == again.created_at + 86_400


def _describe(session: Session, batch_id: str, metadata: dict[str, Any]) -> None:
    session.get_one(BatchRow, batch_id).batch_metadata = metadata


def test_items_that_fail_again_can_be_tried_again(client: OpenAI) -> None:
    wrong = {**chat_body("Hello"), "model": "gpt-9"}
    first = ended(client, submit(client, jsonl([line("wrong", wrong)])))
    second = ended(client, retry(client, first.id))
    third = ended(client, retry(client, second.id))
    assert [each.request_counts.failed for each in (first, second, third)] == [1, 1, 1]  # type: ignore[union-attr]
    (failed,) = lines_of(client, third.error_file_id)
    assert failed["custom_id"] == "wrong"


def test_a_batch_that_still_runs_is_not_retried(client: OpenAI, held: HeldBatch) -> None:
    with pytest.raises(openai.ConflictError, match="in_progress"):
        retry(client, held.id)


def test_a_batch_without_failures_is_not_retried(client: OpenAI) -> None:
    batch = ended(client, submit(client, chats(1)))
    before = [each.id for each in client.batches.list()]
    with pytest.raises(openai.ConflictError, match="No item"):
        retry(client, batch.id)
    assert [each.id for each in client.batches.list()] == before


def test_a_batch_that_was_never_taken_in_is_not_retried(client: OpenAI) -> None:
    batch = ended(client, submit(client, b"{\n"))
    with pytest.raises(openai.ConflictError, match="No item"):
        retry(client, batch.id)
