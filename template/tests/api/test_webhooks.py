"""Webhooks as a client of this API uses them, and what a receiver then gets."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from openai import OpenAI
from openai.types import Batch
from sqlalchemy.orm import Session

from app.domain.tables import WebhookDeliveryRow
from tests.lines import chats
from tests.receiver import Receiver
from tests.service import Service, eventually

EVENTS = ["batch.cancelled", "batch.completed", "batch.expired", "batch.failed"]


@pytest.fixture
def key(live: Service) -> str:
    return live.new_key(f"hooked {uuid4()}")


@pytest.fixture
def http(live: Service, key: str) -> Iterator[httpx2.Client]:
    with live.http(key) as client:
        yield client


@pytest.fixture
def webhook(http: httpx2.Client, receiver: Receiver) -> Iterator[dict[str, Any]]:
    answer = http.post("/v1/webhooks", json={"url": receiver.url, "events": EVENTS})
    assert answer.status_code == 200, answer.text
    yield answer.json()
    http.delete(f"/v1/webhooks/{answer.json()['id']}")


def submit(client: OpenAI, content: bytes) -> Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def told(session: Session, webhook_id: str) -> list[tuple[str, str, str]]:
    """Return event, subject and status of all that was ever owed to the webhook."""
    rows = session.query(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
    return [(row.event, row.subject_id, row.status) for row in rows]


def test_a_webhook_is_registered_shown_and_dropped(
    http: httpx2.Client, webhook: dict[str, Any], receiver: Receiver
) -> None:
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert webhook["object"] == "webhook"
    assert (webhook["url"], webhook["events"]) == (receiver.url, EVENTS)
    path = f"/v1/webhooks/{webhook['id']}"
    assert http.get(path).json() == webhook
    assert http.get("/v1/webhooks").json()["data"] == [webhook]
    deleted = {"id": webhook["id"], "object": "webhook", "deleted": True}
    assert http.delete(path).json() == deleted
    assert http.get(path).status_code == 404


def test_a_rotation_answers_another_secret(http: httpx2.Client, webhook: dict[str, Any]) -> None:
    rotated = http.post(f"/v1/webhooks/{webhook['id']}/rotate").json()
    assert rotated["secret"].startswith("whsec_")
    assert rotated["secret"] != webhook["secret"]
    assert rotated["id"] == webhook["id"]


@pytest.mark.parametrize(
    ("param", "body"),
    [
        ("url", {"events": EVENTS}),
        ("url", {"url": "ftp://receiver.example/", "events": EVENTS}),
        ("url", {"url": "https://", "events": EVENTS}),
        ("url", {"url": "https://u:p@receiver.example/", "events": EVENTS}),
        ("url", {"url": f"https://receiver.example/{'x' * 3000}", "events": EVENTS}),
        ("events", {"url": "https://receiver.example/"}),
        ("events", {"url": "https://receiver.example/", "events": []}),
        ("events.0", {"url": "https://receiver.example/", "events": ["batch.done"]}),
    ],
)
def test_what_cannot_be_registered_is_refused_by_its_field(
    http: httpx2.Client, param: str, body: dict[str, Any]
) -> None:
    answer = http.post("/v1/webhooks", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_receiver_is_told_once_that_a_batch_is_completed(
    live: Service, client: OpenAI, webhook: dict[str, Any], receiver: Receiver
) -> None:
    batch = submit(client, chats(3))
    sent = [("batch.completed", batch.id, "delivered")]
    eventually(lambda: live.in_database(told, webhook["id"]) == sent)
    (request,) = receiver.requests
    assert request.verified(webhook["secret"])["id"] == request.headers["webhook-id"]
    event = client.webhooks.unwrap(request.body, request.headers, secret=webhook["secret"])
    assert event.type == "batch.completed"
    assert event.data.id == batch.id


def test_a_batch_that_fails_is_owed_to_its_caller(
    live: Service, client: OpenAI, webhook: dict[str, Any]
) -> None:
    batch = submit(client, b"{\n")
    eventually(lambda: live.in_database(told, webhook["id"]))
    ((event, subject, _status),) = live.in_database(told, webhook["id"])
    assert (event, subject) == ("batch.failed", batch.id)
