"""An `Idempotency-Key`: whatever is sent twice is created once and answered alike."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from openai import OpenAI
from sqlalchemy import make_url, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from app.main import create_app
from app.settings import Settings
from engine.callers import idempotency
from engine.sql.tables import IdempotencyRow
from tests.batches import HoldBatch
from tests.endpoints import endpoints
from tests.lines import CHAT_URL, chat_body, chats
from tests.service import Service


@pytest.fixture
def once() -> dict[str, str]:
    """A key that has not been used."""
    return {"Idempotency-Key": uuid4().hex}


@pytest.fixture
def file_id(client: OpenAI) -> str:
    return client.files.create(file=("in.jsonl", chats(1)), purpose="batch").id


def new_batch(file_id: str, **others: object) -> dict[str, object]:
    body = {"input_file_id": file_id, "endpoint": CHAT_URL, "completion_window": "24h"}
    return {**body, **others}


def create(client: OpenAI, file_id: str, headers: dict[str, str]) -> str:
    batch = client.batches.create(
        input_file_id=file_id,
        endpoint=CHAT_URL,
        completion_window="24h",
        extra_headers=headers,
    )
    return batch.id


def test_the_same_request_is_answered_byte_for_byte_and_creates_nothing_more(
    live: Service, once: dict[str, str]
) -> None:
    key = live.new_key(uuid4().hex)
    with live.client(key) as client, live.http(key) as http:
        file = client.files.create(file=("in.jsonl", chats(1)), purpose="batch")
        first, again = (
            http.post("/v1/batches", json=new_batch(file.id), headers=once) for _ in range(2)
        )
        assert len(http.get("/v1/batches").json()["data"]) == 1
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 200
    assert first.headers["content-type"] == again.headers["content-type"]


def test_another_request_with_the_key_is_refused(
    live: Service, key: str, file_id: str, once: dict[str, str]
) -> None:
    with live.http(key) as http:
        http.post("/v1/batches", json=new_batch(file_id), headers=once)
        other = http.post("/v1/batches", json=new_batch(file_id, metadata={}), headers=once)
    assert other.status_code == 422
    assert other.json()["error"]["code"] == "idempotency_key_reused"
    assert other.headers["x-should-retry"] == "false"


def test_another_endpoint_with_the_key_is_refused(
    live: Service, key: str, once: dict[str, str], hold_batch: HoldBatch
) -> None:
    batches = [hold_batch(live, key, 1) for _ in range(2)]
    for batch in batches:
        batch.close("cancelled")
    with live.http(key) as http:
        answers = [http.post(f"/v1/batches/{each.id}/retry", headers=once) for each in batches]
    assert [answer.status_code for answer in answers] == [200, 422]


def test_two_callers_may_have_the_same_key(live: Service, once: dict[str, str]) -> None:
    made = set()
    for _ in range(2):
        with live.client(live.new_key(uuid4().hex)) as client:
            file = client.files.create(
                file=("in.jsonl", b"{}"), purpose="batch", extra_headers=once
            )
            made.add(file.id)
    assert len(made) == 2


def test_without_a_key_each_request_creates(client: OpenAI, file_id: str) -> None:
    assert create(client, file_id, {}) != create(client, file_id, {})


def test_an_error_is_not_remembered(
    live: Service, key: str, file_id: str, once: dict[str, str], hold_batch: HoldBatch
) -> None:
    batch = hold_batch(live, key, 1)
    with live.http(key) as http:
        refused = http.post(f"/v1/batches/{batch.id}/retry", headers=once)
        batch.close("cancelled")
        accepted = http.post(f"/v1/batches/{batch.id}/retry", headers=once)
    assert [refused.status_code, accepted.status_code] == [409, 200]


@pytest.mark.parametrize("key_text", ["", "x" * 251], ids=["empty", "too long"])
def test_a_bad_key_is_refused(live: Service, key: str, file_id: str, key_text: str) -> None:
    with live.http(key) as http:
        headers = {"Idempotency-Key": key_text}
        answer = http.post("/v1/batches", json=new_batch(file_id), headers=headers)
    assert answer.status_code == 400


def test_simultaneous_requests_with_one_key_create_once(
    live: Service, key: str, file_id: str, once: dict[str, str]
) -> None:
    async def create_all() -> set[str]:
        async with live.async_client(key) as client:
            calls = [
                client.batches.create(**new_batch(file_id), extra_headers=once)  # type: ignore[arg-type]
                for _ in range(10)
            ]
            return {batch.id for batch in await asyncio.gather(*calls)}

    assert len(asyncio.run(create_all())) == 1


def test_a_forgotten_key_creates_anew(
    live: Service, client: OpenAI, file_id: str, once: dict[str, str]
) -> None:
    first = create(client, file_id, once)
    live.in_database(_age, once["Idempotency-Key"], live.settings.idempotency_seconds + 1)
    assert create(client, file_id, once) != first


def _age(session: Session, key: str, seconds: float) -> None:
    older = IdempotencyRow.created_at - seconds
    session.execute(update(IdempotencyRow).filter_by(key=key).values(created_at=older))


CREATE_NOTHING = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/batches/{batch_id}/cancel",
    "/v1/jobs/{job_id}/cancel",
    "/v1/jobs/{job_id}/retry",
    "/v1/conversations/{conversation_id}",
    "/v1/responses/input_tokens",
    "/v1/responses/{response_id}/cancel",
    "/v1/webhook_endpoints/{webhook_endpoint_id}",
    "/v1/webhook_endpoints/{webhook_endpoint_id}/test",
}


def test_every_post_that_creates_something_takes_a_key() -> None:
    paths = create_app(Settings()).openapi()["paths"]
    parameters = {
        path: [each["name"] for each in methods["post"].get("parameters", [])]
        for path, methods in paths.items()
        if ("POST", path) in endpoints(options=False)
    }
    without = {path for path, names in parameters.items() if "idempotency-key" not in names}
    assert without == CREATE_NOTHING


def test_chats_create_nothing_and_ignore_the_key(
    live: Service, key: str, once: dict[str, str]
) -> None:
    with live.http(key) as http:
        answers = [
            http.post("/v1/chat/completions", json=chat_body(text), headers=once)
            for text in ("Hello", "Goodbye")
        ]
    assert [answer.status_code for answer in answers] == [200, 200]


def test_a_request_behind_one_that_is_still_at_work_is_told_to_come_back(
    on_postgres: Service, once: dict[str, str], hold_batch: HoldBatch
) -> None:
    """And one whose process has died is in nobody's way: its transaction is gone with it."""
    key = on_postgres.new_key()
    batch = hold_batch(on_postgres, key, 1)
    batch.close("cancelled")
    with on_postgres.http(key) as http:
        waiting, free = asyncio.run(
            _beside_another(
                on_postgres,
                {"caller_id": batch.caller_id, "key": once["Idempotency-Key"]},
                lambda: http.post(f"/v1/batches/{batch.id}/retry", headers=once),
            )
        )
    assert (waiting.status_code, free.status_code) == (409, 200)
    assert waiting.json()["error"]["code"] == "idempotency_in_progress"
    assert waiting.headers["retry-after-ms"] == "1000"
    assert "x-should-retry" not in waiting.headers


async def _beside_another(
    running: Service, claim: dict[str, str], ask: Callable[[], httpx.Response]
) -> list[httpx.Response]:
    """Ask while another process has claimed the key and not committed, and after its death."""
    url = make_url(running.settings.sql_url).set(drivername="postgresql+asyncpg")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        values = {**claim, "fingerprint": b"", "now": 2**31, "forgotten": 0}
        await connection.execute(idempotency.CLAIM, values)
        waiting = await asyncio.to_thread(ask)
        await connection.invalidate()
    await engine.dispose()
    return [waiting, await asyncio.to_thread(ask)]
