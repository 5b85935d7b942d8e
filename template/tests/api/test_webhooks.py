"""Webhook endpoints through OpenAI's client, and the messages that their receiver gets."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from openai import (
    APIStatusError,
    BadRequestError,
    InvalidWebhookSignatureError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)
from openai.types import Batch
from openai.types.webhooks import WebhookEndpointWithSecret
from sqlalchemy.orm import Session

from engine.sql.tables import WebhookDeliveryRow
from engine.work.outbox import EVENT_TYPES
from tests.lines import chats
from tests.receiver import Receiver
from tests.service import Service, eventually, free_port

EVENTS: Any = ["batch.cancelled", "batch.completed", "batch.expired", "batch.failed"]
URL = "https://receiver.example/"


@pytest.fixture
def key(live: Service) -> str:
    return live.new_key(f"hooked {uuid4()}")


@pytest.fixture
def webhook(client: OpenAI, receiver: Receiver) -> Iterator[WebhookEndpointWithSecret]:
    made = client.webhooks.create(name="ends", url=receiver.url, event_types=EVENTS)
    yield made
    if any(each.id == made.id for each in client.webhooks.list()):
        client.webhooks.delete(made.id)


def submit(client: OpenAI, content: bytes) -> Batch:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )


def told(session: Session, webhook_id: str) -> list[tuple[str, str, str]]:
    """Return event, subject and status of all that was ever owed to the endpoint."""
    rows = session.query(WebhookDeliveryRow).where(WebhookDeliveryRow.webhook_id == webhook_id)
    return [(row.event, row.subject_id, row.status) for row in rows]


def test_an_endpoint_is_made_shown_and_deleted(
    client: OpenAI, webhook: WebhookEndpointWithSecret, receiver: Receiver
) -> None:
    assert webhook.signing_secret.startswith("whsec_")
    assert (webhook.object, webhook.name) == ("webhook_endpoint", "ends")
    assert (webhook.url, webhook.event_types) == (receiver.url, EVENTS)
    assert webhook.updated_at == webhook.created_at
    shown = client.webhooks.retrieve(webhook.id)
    assert shown.model_dump() == webhook.model_dump(exclude={"signing_secret"})
    assert client.webhooks.list().data == [shown]
    deleted = client.webhooks.delete(webhook.id)
    assert deleted.model_dump() == {
        "id": webhook.id,
        "object": "webhook_endpoint.deleted",
        "deleted": True,
    }
    with pytest.raises(NotFoundError):
        client.webhooks.retrieve(webhook.id)


def test_endpoints_are_listed_in_pages(client: OpenAI) -> None:
    made = [client.webhooks.create(name=n, url=URL, event_types=EVENTS).id for n in "abc"]
    assert [each.id for each in client.webhooks.list(limit=2)] == made[::-1]


def test_the_events_that_there_are_can_be_asked_for(client: OpenAI) -> None:
    assert client.webhooks.event_types.list().data == list(EVENT_TYPES)


def test_an_update_changes_what_it_names(
    client: OpenAI, webhook: WebhookEndpointWithSecret
) -> None:
    updated = client.webhooks.update(webhook.id, name="renamed", event_types=["batch.failed"])
    assert (updated.name, updated.event_types) == ("renamed", ["batch.failed"])
    assert updated.url == webhook.url
    assert client.webhooks.retrieve(webhook.id) == updated


@pytest.mark.parametrize(
    ("param", "change"),
    [
        ("name", {"name": None}),
        ("name", {"name": ""}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "\0"}),
        ("url", {"url": None}),
        ("url", {"url": "ftp://receiver.example/"}),
        ("url", {"url": "https://"}),
        ("url", {"url": "https://u:p@receiver.example/"}),
        ("url", {"url": f"https://receiver.example/{'x' * 3000}"}),
        ("event_types", {"event_types": None}),
        ("event_types", {"event_types": []}),
        ("event_types[0]", {"event_types": ["batch.done"]}),
    ],
)
def test_a_bad_registration_is_refused_by_its_field(
    client: OpenAI, param: str, change: dict[str, Any]
) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.webhooks.create(**{"name": "ends", "url": URL, "event_types": EVENTS, **change})
    assert caught.value.param == param


@pytest.mark.parametrize("kept", [False, True])
def test_a_rotation_ends_the_old_secret_unless_it_is_to_be_kept(
    client: OpenAI, webhook: WebhookEndpointWithSecret, receiver: Receiver, *, kept: bool
) -> None:
    new = client.webhooks.rotate_secret(webhook.id, keep_old_secret_active_for_24_hours=kept)
    assert new.signing_secret_hint != webhook.signing_secret_hint
    client.webhooks.test(webhook.id, event_type="batch.failed")
    (request,) = receiver.requests
    client.webhooks.unwrap(request.body, request.headers, secret=new.signing_secret)
    if kept:
        client.webhooks.unwrap(request.body, request.headers, secret=webhook.signing_secret)
    else:
        with pytest.raises(InvalidWebhookSignatureError):
            client.webhooks.unwrap(request.body, request.headers, secret=webhook.signing_secret)


def test_a_secret_is_not_kept_unless_that_is_asked_for(
    client: OpenAI, webhook: WebhookEndpointWithSecret, receiver: Receiver
) -> None:
    client.webhooks.rotate_secret(webhook.id)
    client.webhooks.test(webhook.id, event_type="batch.failed")
    assert " " not in receiver.requests[0].headers["webhook-signature"]


@pytest.mark.parametrize("status", [204, 302, 500])
def test_a_test_sends_one_sample_and_tells_what_was_answered(
    live: Service,
    client: OpenAI,
    webhook: WebhookEndpointWithSecret,
    receiver: Receiver,
    status: int,
) -> None:
    receiver.answer(status, location=receiver.url)
    result = client.webhooks.test(webhook.id, event_type="batch.completed")
    assert result.model_dump() == {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": webhook.id,
        "event_type": "batch.completed",
        "status_code": status,
        "success": True,
    }
    (request,) = receiver.requests
    event = client.webhooks.unwrap(request.body, request.headers, secret=webhook.signing_secret)
    assert (event.type, event.id) == ("batch.completed", request.headers["webhook-id"])
    assert live.in_database(told, webhook.id) == []


def test_a_test_of_a_receiver_that_is_not_there_says_why_and_is_not_repeated(
    live: Service, key: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    with live.client(key, max_retries=2) as client:
        made = client.webhooks.create(name="nobody", url=url, event_types=EVENTS)
        with pytest.raises(APIStatusError, match=r"Cannot connect to host 127\.0\.0\.1") as caught:
            client.webhooks.test(made.id, event_type="batch.failed")
    assert (caught.value.status_code, caught.value.code) == (424, "receiver_unreachable")
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_tests_count_as_requests(live: Service, receiver: Receiver) -> None:
    key = live.new_key(f"tries {uuid4()}", requests_per_minute=1)
    with live.client(key, max_retries=0) as client:
        made = client.webhooks.create(name="ends", url=receiver.url, event_types=EVENTS)
        client.webhooks.test(made.id, event_type="batch.failed")
        with pytest.raises(RateLimitError):
            client.webhooks.test(made.id, event_type="batch.failed")
    assert len(receiver.requests) == 1


def test_a_receiver_is_told_once_that_a_batch_is_completed(
    live: Service, client: OpenAI, webhook: WebhookEndpointWithSecret, receiver: Receiver
) -> None:
    batch = submit(client, chats(3))
    sent = [("batch.completed", batch.id, "delivered")]
    eventually(lambda: live.in_database(told, webhook.id) == sent)
    (request,) = receiver.requests
    event = client.webhooks.unwrap(request.body, request.headers, secret=webhook.signing_secret)
    assert event.type == "batch.completed"
    assert (event.id, event.data.id) == (request.headers["webhook-id"], batch.id)


def test_a_batch_that_fails_is_owed_to_its_caller(
    live: Service, client: OpenAI, webhook: WebhookEndpointWithSecret
) -> None:
    batch = submit(client, b"{\n")
    eventually(lambda: live.in_database(told, webhook.id))
    ((event, subject, _status),) = live.in_database(told, webhook.id)
    assert (event, subject) == ("batch.failed", batch.id)
