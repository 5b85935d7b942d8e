"""A key is needed, and opens its caller's own things only."""

import time

import pytest
from openai import OpenAI
from openai.types import Batch
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.callers import keys
from engine.sql.statements import new_id
from engine.sql.tables import CallerRow, JobRow
from tests.endpoints import endpoints
from tests.service import Service, eventually

OPEN = {"/live", "/ready", "/metrics"}
LINE = (
    b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": '
    b'{"model": "simulated-chat", "messages": [{"role": "user", "content": "secret of A"}]}}'
)

BODY = {"event_type": "batch.failed", "items": [{"role": "user", "content": "Hello"}]}
"""What every endpoint that changes a thing of a caller takes for a body, if it takes one."""


CLOSED = [(method, path) for method, path in endpoints() if path not in OPEN]


@pytest.mark.parametrize(("method", "path"), CLOSED)
@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer sk-none-none", "Basic eDp5", "Bearer \x80"]
)
def test_without_a_live_key_every_endpoint_is_closed(
    live: Service, method: str, path: str, authorization: str | None
) -> None:
    headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
    with live.http() as http:
        answer = http.request(method, path, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"


@pytest.fixture(scope="module")
def things_of_a(live: Service) -> dict[str, str]:
    """The ids of what caller A has, by the names that paths have for them."""
    key = live.new_key("caller A")
    with live.client(key) as a:
        batch = _finished_batch(a)
        response = a.responses.create(model="simulated-chat", input="secret of A")
        conversation = a.conversations.create(items=[{"role": "user", "content": "secret of A"}])
        item = a.conversations.items.list(conversation.id).data[0]
        webhook = a.webhooks.create(
            name="of A", url="https://receiver.invalid/", event_types=["batch.failed"]
        )
    assert batch.output_file_id
    return {
        "batch_id": batch.id,
        "file_id": batch.output_file_id,
        "input": batch.input_file_id,
        "response_id": response.id,
        "conversation_id": conversation.id,
        "item_id": str(item.id),
        "job_id": live.in_database(_add_job, "caller A"),
        "webhook_endpoint_id": webhook.id,
    }


@pytest.mark.parametrize(
    ("method", "path"), [each for each in endpoints(options=False) if "_id}" in each[1]]
)
def test_another_callers_things_do_not_exist(
    live: Service, things_of_a: dict[str, str], method: str, path: str
) -> None:
    with live.http(live.new_key("caller B")) as b:
        answer = b.request(method, path.format(**things_of_a), json=BODY)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path", ["/v1/files", "/v1/batches", "/v1/jobs", "/v1/usage", "/v1/webhook_endpoints"]
)
def test_another_callers_things_are_not_listed(
    live: Service, things_of_a: dict[str, str], path: str
) -> None:
    with live.http(live.new_key("caller B")) as b:
        assert things_of_a
        assert b.get(path).json()["data"] == []


def test_another_callers_file_is_no_input_of_a_batch(
    live: Service, things_of_a: dict[str, str]
) -> None:
    body = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
    with live.http(live.new_key("caller B")) as b:
        answer = b.post("/v1/batches", json={**body, "input_file_id": things_of_a["input"]})
    assert answer.status_code == 404


def test_a_key_is_stored_only_as_a_hash(live: Service, key: str) -> None:
    secret = key.split("-", 2)[2].encode()
    if live.settings.sql_url.startswith("sqlite"):
        written = b"".join(path.read_bytes() for path in live.folder.glob("app.db*"))
        assert secret not in written
    assert secret.decode() not in "".join(program.text() for program in live.programs)


def test_a_revoked_key_is_refused(live: Service) -> None:
    key = live.new_key("leaving")
    key_id = key.split("-")[1]
    with live.http(key) as http:
        assert http.get("/v1/models").status_code == 200
        live.in_database(keys.revoke_key, key_id)
        eventually(lambda: http.get("/v1/models").status_code == 401)


def _add_job(session: Session, caller: str) -> str:
    """Record a job that has succeeded, and return its id."""
    job = JobRow(
        id=new_id("job"),
        caller_id=session.scalars(select(CallerRow.id).where(CallerRow.name == caller)).one(),
        name="anything",
        subject={},
        status="succeeded",
        request_id="req_1",
        created_at=time.time(),
        deadline_at=time.time(),
    )
    session.add(job)
    return job.id


def _finished_batch(client: OpenAI) -> Batch:
    file = client.files.create(file=("in.jsonl", LINE), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    return client.batches.retrieve(batch.id)
