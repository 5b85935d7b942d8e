"""Files as the official client stores, lists, reads and deletes them."""

import random
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai import OpenAI

from engine.batches.files import PART_BYTES
from tests.batches import HoldBatch, ended
from tests.lines import chats
from tests.service import Service, service


@pytest.fixture
def lister(live: Service, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    """A client whose caller has no files yet."""
    with live.client(live.new_key(request.node.name), max_retries=0) as official:
        yield official


def upload(client: OpenAI, content: bytes = b"{}\n", name: str = "in.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="batch").id


@pytest.mark.parametrize(
    "size", [0, 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES + 7], ids="{} bytes".format
)
def test_a_stored_file_is_read_byte_for_byte(client: OpenAI, size: int) -> None:
    content = random.Random(size).randbytes(size)
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert file.bytes == size
    assert client.files.content(file.id).content == content


def test_a_file_is_described_as_it_was_uploaded(client: OpenAI) -> None:
    file = client.files.retrieve(upload(client, b"12345", "Übung.jsonl"))
    assert (file.filename, file.bytes, file.purpose) == ("Übung.jsonl", 5, "batch")


def test_a_list_of_no_files_is_empty(lister: OpenAI) -> None:
    page = lister.files.list()
    assert (page.data, page.has_more) == ([], False)


def test_all_pages_together_are_every_file_once_newest_first(lister: OpenAI) -> None:
    made = [upload(lister) for _ in range(5)]
    assert [file.id for file in lister.files.list(limit=2)] == made[::-1]


def test_the_oldest_come_first_where_asked_for(lister: OpenAI) -> None:
    made = [upload(lister) for _ in range(3)]
    assert [file.id for file in lister.files.list(limit=2, order="asc")] == made


def test_only_a_page_before_others_has_more(lister: OpenAI) -> None:
    made = [upload(lister) for _ in range(2)]
    assert lister.files.list(limit=1).has_more
    assert not lister.files.list(limit=1, after=made[1]).has_more


def test_a_list_can_be_of_one_purpose(lister: OpenAI) -> None:
    upload(lister)
    assert lister.files.list(purpose="batch_output").data == []


def test_the_files_of_a_batch_are_listed_as_outputs(
    live: Service, lister: OpenAI, hold_batch: HoldBatch
) -> None:
    key = lister.api_key
    batch = hold_batch(live, key, 2)
    batch.record(0)
    batch.record(1, failed=True)
    batch.let_expire()
    end = ended(lister, lister.batches.retrieve(batch.id))
    outputs = lister.files.list(purpose="batch_output").data
    assert {file.id for file in outputs} == {end.output_file_id, end.error_file_id}
    for file in outputs:
        assert len(lister.files.content(file.id).content) == file.bytes


def test_a_deleted_file_does_not_exist(client: OpenAI) -> None:
    file_id = upload(client)
    assert client.files.delete(file_id).deleted
    for gone in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            gone(file_id)


def test_another_purpose_is_refused(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"must be .*`batch`"):
        client.files.create(file=("in.jsonl", b"{}"), purpose="evals")


@pytest.fixture(scope="module")
def idle(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of an API without a worker, for files of at most 100,000 bytes."""
    folder: Path = tmp_path_factory.mktemp("files")
    with service(folder, redis_url, max_file_bytes=100_000) as running:
        running.start("api")
        with running.client(running.new_key(), max_retries=0) as official:
            yield official


def test_a_file_that_a_batch_reads_cannot_be_deleted(idle: OpenAI) -> None:
    file_id = upload(idle, chats(1))
    batch = idle.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    with pytest.raises(openai.ConflictError, match=batch.id):
        idle.files.delete(file_id)
    assert idle.files.retrieve(file_id).id == file_id


@pytest.mark.parametrize("size", [100_001, 1_000_000], ids=["by a byte", "by far"])
def test_a_file_that_is_too_large_is_refused(idle: OpenAI, size: int) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        upload(idle, b"x" * size)
    assert caught.value.status_code == 413


def test_a_file_of_just_the_limit_is_stored(idle: OpenAI) -> None:
    assert idle.files.retrieve(upload(idle, b"x" * 100_000)).bytes == 100_000
