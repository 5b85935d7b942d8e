"""A caller has so many stores, files, bytes and chunks; one more is refused by name."""

import asyncio
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from app.resources.lifespan import Resources
from engine.documents import stores
from engine.documents.quotas import QuotaExceeded, chunks_of
from engine.documents.resource import documents_of
from engine.documents.schema import NewStore
from tests.documents import files
from tests.documents.stocked import Stocked
from tests.documents.test_protocol import FOX, WAIT, uploaded
from tests.owing import add_caller
from tests.service import Service, service

QUOTAS: dict[str, Any] = {
    "vector_stores_per_caller": 2,
    "document_files_per_caller": 3,
    "document_bytes_per_caller": 100_000,
    "document_chunks_per_caller": 10,
}


@pytest.fixture(scope="module")
def small(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("quotas"), redis_url, **QUOTAS) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def owner(small: Service, request: pytest.FixtureRequest) -> Iterator[OpenAI]:
    with small.client(small.new_key(request.node.name), max_retries=0) as client:
        yield client


def refused(message: str) -> "pytest.RaisesExc[openai.RateLimitError]":
    return pytest.RaisesExc(openai.RateLimitError, match=message, check=_is_a_quota)


def _is_a_quota(error: openai.RateLimitError) -> bool:
    return error.code == "quota_exceeded" and "retry-after" not in error.response.headers


def test_a_store_too_many_is_refused(owner: OpenAI) -> None:
    stores = [owner.vector_stores.create().id for _ in range(2)]
    with refused("2 vector stores. Delete some first"):
        owner.vector_stores.create()
    owner.vector_stores.delete(stores[0])
    owner.vector_stores.create()


def test_a_file_too_many_is_refused_with_all_of_its_batch(owner: OpenAI) -> None:
    store = owner.vector_stores.create().id
    ids = [uploaded(owner, f"{number}.md") for number in range(4)]
    with refused("3 files in vector stores"):
        owner.vector_stores.file_batches.create(store, file_ids=ids)
    assert owner.vector_stores.retrieve(store).file_counts.total == 0
    owner.vector_stores.file_batches.create_and_poll(store, file_ids=ids[:3])
    with refused("3 files in vector stores"):
        owner.vector_stores.files.create(store, file_id=ids[3])
    owner.vector_stores.files.delete(ids[0], vector_store_id=store)
    owner.vector_stores.files.create(store, file_id=ids[3])


def test_bytes_too_many_are_refused(owner: OpenAI) -> None:
    store = owner.vector_stores.create().id
    with refused("100000 bytes in vector stores"):
        owner.vector_stores.files.create(store, file_id=uploaded(owner, "a.txt", b"a" * 100_001))


def test_a_file_that_outgrows_the_chunks_fails_and_leaves_room(owner: OpenAI) -> None:
    store = owner.vector_stores.create().id
    long = b"".join(files.long_text(50_000))
    file = owner.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("long.txt", long), max_wait_seconds=WAIT
    )
    assert file.last_error
    assert file.last_error.code == "invalid_file"
    assert "10 chunks" in file.last_error.message
    file = owner.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("fox.md", FOX), max_wait_seconds=WAIT
    )
    assert file.status == "completed"


@pytest.mark.anyio
async def test_requests_at_once_make_no_store_too_many(resources: Resources) -> None:
    caller_id = await resources.database.write(add_caller)
    documents = documents_of(resources)
    settings = documents.settings.model_copy(update={"vector_stores_per_caller": 3})
    made = await asyncio.gather(
        *(
            resources.database.write(
                stores.create_store,
                caller_id,
                NewStore(),
                settings=settings,
                space=documents.space,
                request_id="req_a",
            )
            for _ in range(8)
        ),
        return_exceptions=True,
    )
    assert sum(isinstance(each, QuotaExceeded) for each in made) == 5


@pytest.mark.anyio
async def test_a_deleted_store_takes_no_room_while_it_is_removed(stocked: Stocked) -> None:
    database = stocked.resources.database
    await stocked.add("The fox", "The dog")
    assert await database.read(chunks_of, stocked.caller_id) == 2
    await database.write(stores.delete_store, stocked.caller_id, stocked.id, "req_a")
    assert await database.read(chunks_of, stocked.caller_id) == 0
