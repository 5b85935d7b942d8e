"""OpenAI's client uses vector stores as at OpenAI: its helpers, its pages, its errors."""

import time
from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI
from openai.types.static_file_chunking_strategy_param import StaticFileChunkingStrategyParam

from app.main import create_app
from app.settings import Settings
from tests.documents import files
from tests.service import Service

FOX = b"# Foxes\n\nThe quick brown fox jumps over the lazy dog.\n"
SHIP = b"# Ships\n\nA ship has a keel, a mast and a rudder.\n"
WAIT = 60.0


@pytest.fixture
def store(client: OpenAI) -> Iterator[str]:
    made = client.vector_stores.create(name="Handbook")
    yield made.id
    client.vector_stores.delete(made.id)


def uploaded(client: OpenAI, name: str = "fox.md", data: bytes = FOX) -> str:
    return client.files.create(file=(name, data), purpose="assistants").id


def attached(client: OpenAI, store: str, name: str = "fox.md", data: bytes = FOX) -> str:
    """Return a file in the store that is ingested."""
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=(name, data), max_wait_seconds=WAIT
    )
    assert file.status == "completed", file.last_error
    return file.id


def test_a_new_store_is_empty_and_ready(client: OpenAI) -> None:
    made = client.vector_stores.create(
        name="Handbook",
        description="Of the house",
        metadata={"team": "red"},
        expires_after={"anchor": "last_active_at", "days": 7},
    )
    found = client.vector_stores.retrieve(made.id)
    assert found == made
    assert (found.object, found.name, found.status) == ("vector_store", "Handbook", "completed")
    assert found.file_counts.total == found.usage_bytes == 0
    assert found.metadata == {"team": "red"}
    assert found.expires_after
    assert found.expires_after.days == 7
    assert found.last_active_at
    assert found.expires_at == found.last_active_at + 7 * 86_400


def test_a_store_is_changed_field_by_field(client: OpenAI, store: str) -> None:
    client.vector_stores.update(store, metadata={"a": "b"})
    renamed = client.vector_stores.update(store, name="Other")
    assert (renamed.name, renamed.metadata) == ("Other", {"a": "b"})
    expiring = client.vector_stores.update(
        store, expires_after={"anchor": "last_active_at", "days": 1}
    )
    assert expiring.expires_at
    assert client.vector_stores.update(store, expires_after=None).expires_at is None


def test_a_deleted_store_is_gone(client: OpenAI) -> None:
    made = client.vector_stores.create()
    deleted = client.vector_stores.delete(made.id)
    assert (deleted.id, deleted.deleted, deleted.object) == (
        made.id,
        True,
        "vector_store.deleted",
    )
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(made.id)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.delete(made.id)


def test_stores_come_in_pages(live: Service) -> None:
    client = live.client(live.new_key("pages of stores"))
    ids = [client.vector_stores.create(name=str(number)).id for number in range(5)]
    assert [each.id for each in client.vector_stores.list(limit=2)] == ids[::-1]
    assert [each.id for each in client.vector_stores.list(limit=2, order="asc")] == ids
    page = client.vector_stores.list(limit=2, order="asc", after=ids[1])
    assert [each.id for each in page.data] == ids[2:4]
    page = client.vector_stores.list(limit=2, order="asc", before=ids[3])
    assert [each.id for each in page.data] == ids[1:3]


def test_an_uploaded_file_is_ingested_and_found(client: OpenAI, store: str) -> None:
    file_id = attached(client, store)
    found = client.vector_stores.retrieve(store)
    assert (found.file_counts.completed, found.file_counts.total) == (1, 1)
    assert found.usage_bytes > len(FOX)
    page = client.vector_stores.search(store, query="fox")
    assert page.to_dict()["search_query"] == ["fox"]
    (result,) = page.data
    assert (result.file_id, result.filename) == (file_id, "fox.md")
    assert result.content[0].text == FOX.decode()
    assert 0 <= result.score <= 1


@pytest.mark.anyio
async def test_the_asynchronous_client_uploads_and_polls(live: Service, key: str) -> None:
    async with live.async_client(key) as client:
        store = await client.vector_stores.create()
        batch = await client.vector_stores.file_batches.upload_and_poll(
            vector_store_id=store.id,
            files=[("fox.md", FOX), ("ship.md", SHIP)],
        )
        assert (batch.status, batch.file_counts.completed) == ("completed", 2)
        assert [each.status async for each in client.vector_stores.files.list(store.id)] == [
            "completed"
        ] * 2


def test_a_store_begins_with_files(client: OpenAI) -> None:
    ids = [uploaded(client), uploaded(client, "ship.md", SHIP)]
    store = client.vector_stores.create(file_ids=ids)
    assert store.file_counts.total == 2
    for file_id in ids:
        file = client.vector_stores.files.poll(
            file_id, vector_store_id=store.id, max_wait_seconds=WAIT
        )
        assert file.status == "completed"


def test_a_file_says_how_it_was_cut(client: OpenAI, store: str) -> None:
    sizes: StaticFileChunkingStrategyParam = {
        "max_chunk_size_tokens": 200,
        "chunk_overlap_tokens": 50,
    }
    file = client.vector_stores.files.create_and_poll(
        uploaded(client),
        vector_store_id=store,
        attributes={"year": 2026, "draft": False, "team": "red"},
        chunking_strategy={"type": "static", "static": sizes},
        max_wait_seconds=WAIT,
    )
    assert file.attributes == {"year": 2026, "draft": False, "team": "red"}
    assert file.chunking_strategy
    assert file.chunking_strategy.to_dict()["static"] == sizes
    changed = client.vector_stores.files.update(
        file.id, vector_store_id=store, attributes={"year": 2027}
    )
    assert changed.attributes == {"year": 2027}


def test_a_file_that_is_attached_twice_is_there_once(client: OpenAI, store: str) -> None:
    file_id = uploaded(client)
    first = client.vector_stores.files.create(store, file_id=file_id, attributes={"a": 1})
    again = client.vector_stores.files.create(store, file_id=file_id, attributes={"a": 2})
    assert again.attributes == first.attributes == {"a": 1}
    assert client.vector_stores.retrieve(store).file_counts.total == 1


def test_the_content_of_a_file_is_its_text(client: OpenAI, store: str) -> None:
    text = b"".join(files.long_text(60_000))
    file_id = attached(client, store, "long.txt", text)
    parts = client.vector_stores.files.content(file_id, vector_store_id=store).data
    assert len(parts) > 10
    assert "".join(part.text or "" for part in parts).encode() == text


def test_a_removed_file_is_found_no_more_and_can_come_back(client: OpenAI, store: str) -> None:
    file_id = attached(client, store)
    gone = client.vector_stores.files.delete(file_id, vector_store_id=store)
    assert (gone.id, gone.object) == (file_id, "vector_store.file.deleted")
    assert client.vector_stores.search(store, query="fox").data == []
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(file_id, vector_store_id=store)
    assert client.files.retrieve(file_id).filename == "fox.md"
    back = client.vector_stores.files.create_and_poll(
        file_id, vector_store_id=store, max_wait_seconds=WAIT
    )
    assert back.status == "completed"


def test_a_deleted_file_is_gone_from_its_stores(client: OpenAI, store: str) -> None:
    file_id = attached(client, store)
    client.files.delete(file_id)
    assert client.vector_stores.retrieve(store).file_counts.total == 0
    assert client.vector_stores.search(store, query="fox").data == []


def test_files_come_in_pages_and_by_their_status(client: OpenAI, store: str) -> None:
    ids = [attached(client, store, f"{number}.md") for number in range(3)]
    bad = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("x.exe", b"MZ"), max_wait_seconds=WAIT
    )
    listed = client.vector_stores.files.list
    assert [each.id for each in listed(store, limit=1, order="asc")] == [*ids, bad.id]
    assert [each.id for each in listed(store, filter="failed")] == [bad.id]
    assert [each.id for each in listed(store, filter="completed", limit=2)] == ids[::-1]


@pytest.mark.parametrize(
    ("name", "data", "code", "says"),
    [
        ("x.exe", b"MZ", "unsupported_file", "are not read"),
        ("locked.pdf", files.pdf(["x"], encrypt=True), "invalid_file", "password"),
        ("blank.txt", b" \n", "invalid_file", "no text"),
    ],
)
def test_a_bad_file_says_why(
    client: OpenAI, store: str, name: str, data: bytes, code: str, says: str
) -> None:
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=(name, data), max_wait_seconds=WAIT
    )
    assert file.status == "failed"
    assert file.last_error
    assert file.last_error.code == code
    assert says in file.last_error.message
    assert client.vector_stores.retrieve(store).file_counts.failed == 1


def test_files_of_a_batch_have_their_own_attributes(client: OpenAI, store: str) -> None:
    ids = [uploaded(client), uploaded(client, "ship.md", SHIP)]
    batch = client.vector_stores.file_batches.create_and_poll(
        vector_store_id=store,
        files=[{"file_id": ids[0], "attributes": {"n": 1}}, {"file_id": ids[1]}],
    )
    assert batch.object == "vector_store.files_batch"
    assert (
        client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store).id == batch.id
    )
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store)
    assert {each.id: each.attributes for each in listed} == {ids[0]: {"n": 1}, ids[1]: {}}


def test_a_cancelled_batch_ends(live: Service, client: OpenAI, store: str) -> None:
    text = b"".join(files.long_text(3 << 20))
    ids = [uploaded(client, f"{number}.txt", text) for number in range(4)]
    batch = client.vector_stores.file_batches.create(store, file_ids=ids)
    cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store)
    assert cancelled.status == "cancelled"
    assert cancelled.file_counts.in_progress == 0
    assert client.vector_stores.search(store, query="fox").data == []


def test_a_young_file_is_polled_soon(client: OpenAI, store: str) -> None:
    file_id = attached(client, store)
    raw = client.vector_stores.files.with_raw_response.retrieve(file_id, vector_store_id=store)
    assert raw.headers["openai-poll-after-ms"] == "250"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"chunking_strategy": {"type": "static"}}, "chunking_strategy"),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0},
                }
            },
            "chunking_strategy.static.max_chunk_size_tokens",
        ),
        (
            {
                "chunking_strategy": {
                    "type": "static",
                    "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101},
                }
            },
            "chunking_strategy.static",
        ),
        ({"attributes": {"a": [1]}}, "attributes"),
        ({"attributes": {str(number): 1 for number in range(17)}}, "attributes"),
        ({"attributes": {"a": "x" * 513}}, "attributes"),
    ],
)
def test_a_bad_request_names_its_field(
    client: OpenAI, store: str, body: dict[str, object], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.vector_stores.files.create(store, file_id=uploaded(client), extra_body=body)
    assert str(caught.value.param).startswith(param)


def test_a_batch_has_either_ids_or_files(client: OpenAI, store: str) -> None:
    with pytest.raises(openai.BadRequestError, match="either file_ids or files"):
        client.vector_stores.file_batches.create(store)


def test_a_file_that_is_not_there_attaches_nothing(client: OpenAI, store: str) -> None:
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.file_batches.create(store, file_ids=[uploaded(client), "file_none"])
    assert client.vector_stores.retrieve(store).file_counts.total == 0


def test_a_request_with_its_key_attaches_once(client: OpenAI) -> None:
    headers = {"Idempotency-Key": f"store-{time.time()}"}
    made = [client.vector_stores.create(name="x", extra_headers=headers).id for _ in range(2)]
    assert made[0] == made[1]


def test_each_request_that_makes_something_takes_a_key() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    for path in ("", "/{vector_store_id}/files", "/{vector_store_id}/file_batches"):
        parameters = paths[f"/v1/vector_stores{path}"]["post"]["parameters"]
        assert "idempotency-key" in {each["name"] for each in parameters}
