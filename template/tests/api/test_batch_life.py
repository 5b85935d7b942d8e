"""The life of a batch in the fields of its object."""

from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from tests.batches import HeldBatch, HoldBatch, ended, lines_of, submit
from tests.lines import CHAT_URL, chats
from tests.service import Service


@pytest.fixture
def held(live: Service, key: str, hold_batch: HoldBatch) -> HeldBatch:
    return hold_batch(live, key, 4)


def create(client: OpenAI, **options: Any) -> Batch:  # noqa: ANN401
    file = client.files.create(file=("in.jsonl", chats(1)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint=CHAT_URL, completion_window="24h", **options
    )


def test_a_new_batch_is_validating_and_knows_when_its_window_ends(client: OpenAI) -> None:
    batch = create(client, metadata={"team": "a"})
    assert (batch.status, batch.object, batch.errors) == ("validating", "batch", None)
    assert (batch.completion_window, batch.metadata) == ("24h", {"team": "a"})
    assert batch.expires_at == batch.created_at + 86_400
    assert batch.in_progress_at is None
    assert batch.output_file_id is None


def test_a_completed_batch_says_when_each_part_of_its_life_began(client: OpenAI) -> None:
    batch = ended(client, submit(client, chats(1)))
    times = [batch.created_at, batch.in_progress_at, batch.finalizing_at, batch.completed_at]
    assert all(times)
    assert times == sorted(times)  # type: ignore[type-var]
    assert [batch.failed_at, batch.expired_at, batch.cancelling_at, batch.cancelled_at] == 4 * [
        None
    ]


def test_items_out_of_time_stand_as_expired_in_the_error_file(
    client: OpenAI, held: HeldBatch
) -> None:
    held.record(0)
    held.record(1, failed=True)
    held.let_expire()
    batch = ended(client, client.batches.retrieve(held.id))
    assert batch.status == "expired"
    assert batch.expired_at
    assert [line["custom_id"] for line in lines_of(client, batch.output_file_id)] == ["item-0"]
    failed, *cut_off = lines_of(client, batch.error_file_id)
    assert failed["response"]["status_code"] == 502
    assert failed["response"]["body"]["error"]["code"] == "model_error"
    assert [(line["custom_id"], line["error"]["code"], line["response"]) for line in cut_off] == [
        ("item-2", "batch_expired", None),
        ("item-3", "batch_expired", None),
    ]


def test_cancelling_twice_is_cancelling(client: OpenAI, held: HeldBatch) -> None:
    first, second = (client.batches.cancel(held.id) for _ in range(2))
    assert first.status == "cancelling"
    assert first.cancelling_at
    assert first == second


def test_a_cancelled_batch_may_be_cancelled_again(client: OpenAI, held: HeldBatch) -> None:
    held.close("cancelled")
    assert client.batches.cancel(held.id).status == "cancelled"


@pytest.mark.parametrize("status", ["completed", "expired", "failed"])
def test_a_batch_that_has_ended_otherwise_is_not_cancelled(
    client: OpenAI, held: HeldBatch, status: str
) -> None:
    held.close(status)
    with pytest.raises(openai.ConflictError, match=status):
        client.batches.cancel(held.id)


@pytest.mark.parametrize(
    "metadata",
    [{str(number): "" for number in range(17)}, {"x" * 65: ""}, {"x": "x" * 513}, {"x": 1}],
    ids=["too many", "long name", "long value", "a number"],
)
def test_metadata_beyond_the_limits_is_refused(client: OpenAI, metadata: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match="metadata"):
        create(client, metadata=metadata)


def test_metadata_up_to_the_limits_is_kept(client: OpenAI) -> None:
    metadata = {f"{number:064}": "ü" * 512 for number in range(16)}
    assert create(client, metadata=metadata).metadata == metadata


def test_another_time_to_keep_the_output_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="output_expires_after"):
        create(client, output_expires_after={"anchor": "created_at", "seconds": 3600})
