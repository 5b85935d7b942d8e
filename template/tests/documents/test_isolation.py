"""Nothing of one caller's vector stores is another's to read, change or find."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.documents import ownership
from engine.documents.search import plan_search
from engine.documents.tables import VectorStoreRow
from tests.documents.test_protocol import FOX, SHIP, attached
from tests.endpoints import endpoints
from tests.service import Service

ROUTES = [each for each in endpoints() if each[1].startswith("/v1/vector_stores/{")]
BODIES: dict[str, dict[str, Any]] = {
    "/files": {"file_id": "{file_id}"},
    "/file_batches": {"file_ids": ["{file_id}"]},
    "/search": {"query": "fox"},
    "/files/{file_id}": {"attributes": {"a": 1}},
}
NOWHERE = "vs_00000000000000000000000000000000"


@pytest.fixture
def stranger(live: Service) -> Iterator[httpx.Client]:
    with live.http(live.new_key("stranger", requests_per_minute=100_000)) as client:
        yield client


def test_there_are_routes_to_try() -> None:
    assert len(ROUTES) >= 14


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_store_of_another_is_not_found_like_one_that_is_not(
    client: OpenAI, stranger: httpx.Client, method: str, path: str
) -> None:
    store = client.vector_stores.create(name="Handbook")
    file_id = attached(client, store.id)
    batch = client.vector_stores.file_batches.create(store.id, file_ids=[file_id])
    body = BODIES.get(path.removeprefix("/v1/vector_stores/{vector_store_id}"), {})
    answers = []
    for store_id in (store.id, NOWHERE):
        ids = {"vector_store_id": store_id, "file_id": file_id, "batch_id": batch.id}
        sent = stranger.request(
            method,
            path.format(**ids),
            json=_filled(body, file_id) if method == "POST" else None,
        )
        answers.append((sent.status_code, sent.text.replace(store_id, "ID")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 404
    assert client.vector_stores.retrieve(store.id).file_counts.completed == 1


def test_a_strangers_file_cannot_be_attached(client: OpenAI, stranger: httpx.Client) -> None:
    file_id = client.files.create(file=("fox.md", FOX), purpose="assistants").id
    store_id = stranger.post("/v1/vector_stores", json={}).json()["id"]
    sent = stranger.post(f"/v1/vector_stores/{store_id}/files", json={"file_id": file_id})
    assert sent.status_code == 404
    sent = stranger.post("/v1/vector_stores", json={"file_ids": [file_id]})
    assert sent.status_code == 404


def test_a_batch_of_another_store_is_not_found(client: OpenAI) -> None:
    one, other = (client.vector_stores.create().id for _ in range(2))
    file_id = client.files.create(file=("fox.md", FOX), purpose="assistants").id
    batch = client.vector_stores.file_batches.create(one, file_ids=[file_id])
    with pytest.raises(openai.NotFoundError, match="There is no batch"):
        client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=other)


def test_lists_show_only_ones_own(live: Service, client: OpenAI) -> None:
    mine = client.vector_stores.create().id
    with live.client(live.new_key("another caller")) as other:
        theirs = other.vector_stores.create().id
        assert theirs in [each.id for each in other.vector_stores.list()]
        assert mine not in [each.id for each in other.vector_stores.list()]


def test_a_search_finds_what_is_in_its_own_store(client: OpenAI) -> None:
    foxes, ships = (client.vector_stores.create().id for _ in range(2))
    attached(client, foxes, "fox.md", FOX)
    attached(client, ships, "ship.md", SHIP)
    found = client.vector_stores.search(foxes, query="A ship has a keel and a mast")
    assert {each.filename for each in found.data} == {"fox.md"}


def test_a_query_that_forgets_the_caller_is_caught(
    live: Service, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin of `find_store`: with it the plan of another's search has files."""

    def careless(session: Session, _caller_id: str, store_id: str) -> VectorStoreRow:
        return session.scalars(select(VectorStoreRow).where(VectorStoreRow.id == store_id)).one()

    store = client.vector_stores.create().id
    attached(client, store)
    monkeypatch.setattr(ownership, "find_usable_store", careless)
    plan = live.in_database(plan_search, "caller_of_nothing", store, ["fox"])
    assert plan.files


def _filled(body: dict[str, Any], file_id: str) -> dict[str, Any]:
    return {
        name: [file_id] if value == ["{file_id}"] else file_id if value == "{file_id}" else value
        for name, value in body.items()
    }
