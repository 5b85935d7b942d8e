"""Ingestion bears a model that fails, refuses vectors that do not fit, and ends for sure."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from openai import OpenAI
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from engine.documents.tables import DocumentChunkRow, StoreFileRow, VectorPageRow
from engine.sql.tables import JobRow
from tests.documents import files, librarian
from tests.documents.test_protocol import FOX, uploaded
from tests.service import Service, eventually, service
from tests.upstream import serving_in_thread

BAD: dict[str, Any] = {
    "too few": lambda data: data[:-1],
    "too wide": lambda data: [{**each, "embedding": [0.0] * 7} for each in data],
    "not finite": lambda data: [{**each, "embedding": [float("nan")] * 256} for each in data],
}


class Moody:
    """A model server of embeddings, which fails as often as it is told to, in a way."""

    def __init__(self) -> None:
        self.way = ""
        self.failures = 0
        self.asked = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        answer = await librarian.answer(request)
        if not request.path.endswith("/embeddings"):
            return answer
        self.asked += 1
        if self.asked > self.failures:
            return answer
        if self.way == "away":
            return web.json_response({"error": {"message": "secret of the server"}}, status=503)
        assert isinstance(answer, web.Response)
        assert isinstance(answer.body, bytes)
        body = json.loads(answer.body)
        return web.json_response({**body, "data": BAD[self.way](body["data"])})

    def fail(self, way: str, times: int) -> None:
        """Fail so many times from here on."""
        self.way, self.failures, self.asked = way, times, 0


@pytest.fixture(scope="module")
def moody() -> Moody:
    return Moody()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def served(
    request: pytest.FixtureRequest, moody: Moody, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    on_sqlite = request.param == "sqlite"
    servers = [request.getfixturevalue("redis_url" if on_sqlite else "tcp_redis_url")]
    servers += [] if on_sqlite else [request.getfixturevalue("postgres_url")]
    settings: dict[str, Any] = {"model_provider": "openai", "document_model": "librarian"}
    settings |= {"model_failures": 1000}
    with (
        serving_in_thread(moody.answer) as upstream,
        service(
            tmp_path_factory.mktemp("moody"), *servers, openai_base_url=upstream, **settings
        ) as ready,
    ):
        ready.start("api", "worker")
        yield ready


@pytest.fixture
def client(served: Service) -> Iterator[OpenAI]:
    with served.client(served.new_key(), max_retries=0) as official:
        yield official


@pytest.mark.parametrize("way", ["away", *BAD])
def test_a_model_that_goes_on_failing_ends_the_file(moody: Moody, client: OpenAI, way: str) -> None:
    moody.fail(way, 1000)
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("fox.md", FOX), max_wait_seconds=60
    )
    assert file.status == "failed"
    assert file.last_error
    assert file.last_error.code == "server_error"
    assert file.last_error.message.startswith("The file could not be ingested now.")


def test_a_model_that_recovers_ends_nothing(moody: Moody, client: OpenAI) -> None:
    moody.fail("away", 1)
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("fox.md", FOX), max_wait_seconds=60
    )
    assert file.status == "completed"


@pytest.mark.parametrize("stopped", ["file", "store", "job"])
def test_what_is_stopped_amid_its_ingestion_leaves_nothing(
    served: Service, moody: Moody, client: OpenAI, stopped: str
) -> None:
    moody.fail("away", 1000)  # so that it waits in its second step
    store = client.vector_stores.create().id
    file_id = uploaded(client, "long.txt", b"".join(files.long_text(100_000)))
    client.vector_stores.files.create(store, file_id=file_id)
    eventually(lambda: served.in_database(chunks_of, store))
    if stopped == "file":
        client.vector_stores.files.delete(file_id, vector_store_id=store)
    elif stopped == "store":
        client.vector_stores.delete(store)
    else:
        job_id = served.in_database(job_of, store)
        client.post(f"/jobs/{job_id}/cancel", cast_to=object)
        eventually(
            lambda: (
                client.vector_stores.files.retrieve(file_id, vector_store_id=store).status
                == "cancelled"
            )
        )
    eventually(lambda: not served.in_database(chunks_of, store))


def test_chunks_of_another_recipe_are_made_anew(
    served: Service, moody: Moody, client: OpenAI
) -> None:
    """As after an update of a library that decides where a chunk ends."""
    moody.fail("away", 1000)
    store = client.vector_stores.create().id
    file_id = uploaded(client, "long.txt", b"".join(files.long_text(100_000)))
    client.vector_stores.files.create(store, file_id=file_id)
    eventually(lambda: served.in_database(has_failed_once, store))
    served.in_database(change_recipe, store)
    moody.fail("away", 0)
    file = client.vector_stores.files.poll(file_id, vector_store_id=store, max_wait_seconds=60)
    assert file.status == "completed"
    assert 7 not in served.in_database(tokens_of, store)
    assert served.in_database(recipe_of_store, store) != "an old one"
    calm = client.vector_stores.create().id
    again = client.vector_stores.files.create_and_poll(
        file_id, vector_store_id=calm, max_wait_seconds=60
    )
    assert file.usage_bytes == again.usage_bytes


def has_failed_once(session: Session, store_id: str) -> bool:
    job = session.get_one(JobRow, job_of(session, store_id))
    return job.status == "queued" and job.errors > 0


def chunks_of(session: Session, store_id: str) -> int:
    """Return how many chunks and pages a store has once no more are being written."""
    row = StoreFileRow
    for table in (DocumentChunkRow, VectorPageRow):
        of_store = select(table.id).join(row, row.id == table.store_file_id)
        if found := len(session.scalars(of_store.where(row.store_id == store_id)).all()):
            return found
    return 0


def job_of(session: Session, store_id: str) -> str:
    row = StoreFileRow
    return session.scalars(select(row.job_id).where(row.store_id == store_id)).one()


def change_recipe(session: Session, store_id: str) -> None:
    row = session.scalars(select(StoreFileRow).where(StoreFileRow.store_id == store_id)).one()
    row.recipe = "an old one"
    own = DocumentChunkRow.store_file_id == row.id, DocumentChunkRow.seq == 0
    first = session.scalars(select(DocumentChunkRow).where(*own)).one()
    first.tokens = 7
    wait = update(JobRow).where(JobRow.id == row.job_id).values(errors=0, not_before=0.0)
    session.execute(wait)


def tokens_of(session: Session, store_id: str) -> set[int]:
    row = StoreFileRow
    statement = select(DocumentChunkRow.tokens).join(row, row.id == DocumentChunkRow.store_file_id)
    return set(session.scalars(statement.where(row.store_id == store_id)))


def recipe_of_store(session: Session, store_id: str) -> str | None:
    row = StoreFileRow
    return session.scalars(select(row.recipe).where(row.store_id == store_id)).one()
