"""Every method of OpenAI's client for vector stores: what it takes, it gets."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from app.api.vector_store_files import YOUNG, poll_after
from tests.documents.test_protocol import FOX, SHIP, WAIT, uploaded
from tests.service import Service

pytestmark = pytest.mark.anyio

COMMON = {"with_raw_response", "with_streaming_response", "files", "file_batches"}


def methods(resource: object) -> set[str]:
    """Return the names of the methods that ask the server."""
    return {name for name in dir(type(resource)) if not name.startswith("_")} - COMMON


@pytest.fixture
def store(client: OpenAI) -> Iterator[str]:
    made = client.vector_stores.create()
    yield made.id
    client.vector_stores.delete(made.id)


def test_the_client_has_no_method_that_is_not_tried_here(client: OpenAI) -> None:
    stores = client.vector_stores
    assert methods(stores) == {"create", "retrieve", "update", "list", "delete", "search"}
    both = {"create", "retrieve", "create_and_poll", "upload_and_poll", "poll"}
    assert methods(stores.files) == both | {"update", "list", "delete", "content", "upload"}
    assert methods(stores.file_batches) == both | {"cancel", "list_files"}


async def test_the_asynchronous_client_keeps_a_store(live: Service, key: str) -> None:
    async with live.async_client(key) as client:
        stores = client.vector_stores
        made = await stores.create(name="Handbook")
        assert (await stores.retrieve(made.id)).name == "Handbook"
        assert (await stores.update(made.id, name="Other")).name == "Other"
        assert made.id in [each.id async for each in stores.list(limit=100)]
        assert (await stores.search(made.id, query=["fox", "ship"])).data == []
        assert (await stores.delete(made.id)).deleted


async def test_the_asynchronous_client_keeps_files(live: Service, key: str) -> None:
    async with live.async_client(key) as client:
        store, files = (await client.vector_stores.create()).id, client.vector_stores.files
        where: dict[str, Any] = {"vector_store_id": store}
        uploading = await files.upload(file=("fox.md", FOX), **where)
        polled = await files.poll(uploading.id, max_wait_seconds=WAIT, **where)
        assert polled.status == "completed"
        ship = await files.upload_and_poll(file=("ship.md", SHIP), **where)
        assert (await files.update(ship.id, attributes={"a": 1}, **where)).attributes == {"a": 1}
        assert (await files.retrieve(ship.id, **where)).attributes == {"a": 1}
        assert [part.text async for part in files.content(ship.id, **where)] == [SHIP.decode()]
        assert (await files.delete(ship.id, **where)).deleted
        assert (await files.create(file_id=ship.id, **where)).id == ship.id
        again = await files.create_and_poll(ship.id, **where)
        assert (again.id, again.status) == (ship.id, "completed")
        assert {each.id async for each in files.list(store)} == {uploading.id, ship.id}


async def test_the_asynchronous_client_keeps_batches(live: Service, key: str) -> None:
    async with live.async_client(key) as client:
        store, batches = (await client.vector_stores.create()).id, client.vector_stores.file_batches
        where: dict[str, Any] = {"vector_store_id": store}
        ids = [await upload(client), await upload(client)]
        made = await batches.create(store, file_ids=ids)
        assert (await batches.poll(made.id, **where)).file_counts.completed == 2
        assert (await batches.retrieve(made.id, **where)).id == made.id
        assert {each.id async for each in batches.list_files(made.id, **where)} == set(ids)
        both = await batches.upload_and_poll(store, files=[("fox.md", FOX)], file_ids=ids)
        assert (both.status, both.file_counts.completed) == ("completed", 3)
        one = await batches.create_and_poll(store, files=[{"file_id": ids[0]}])
        assert one.file_counts.total == 1
        cancelled = await batches.cancel(one.id, **where)
        assert (cancelled.status, cancelled.file_counts.completed) == ("completed", 1)


async def upload(client: AsyncOpenAI) -> str:
    """Return the id of a new file."""
    return (await client.files.create(file=("fox.md", FOX), purpose="user_data")).id


def test_the_synchronous_client_uploads_and_polls(client: OpenAI, store: str) -> None:
    stores = client.vector_stores
    file = stores.files.upload(vector_store_id=store, file=("fox.md", FOX))
    assert stores.files.retrieve(file.id, vector_store_id=store).id == file.id
    batch = stores.file_batches.upload_and_poll(store, files=[("ship.md", SHIP)])
    assert stores.file_batches.poll(batch.id, vector_store_id=store).file_counts.completed == 1


def test_an_old_file_is_polled_seldom() -> None:
    assert poll_after(time.time()) == "250"
    assert poll_after(time.time() - YOUNG) == "2000"


def test_null_is_as_nothing(client: OpenAI, store: str) -> None:
    client.vector_stores.create(metadata=None)
    file_id = uploaded(client)
    made = client.vector_stores.files.create(store, file_id=file_id, attributes=None)
    assert made.attributes == {}
    changed = client.vector_stores.files.update(file_id, vector_store_id=store, attributes=None)
    assert changed.attributes == {}
    other = uploaded(client)
    client.vector_stores.file_batches.create(store, file_ids=[other], attributes=None)
    listed = client.vector_stores.files.list(store)
    assert {each.id: each.attributes for each in listed} == {file_id: {}, other: {}}
