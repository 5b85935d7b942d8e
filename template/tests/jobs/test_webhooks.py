"""Messages from the database to a real receiver, tried until one of the two gives up."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session
from standardwebhooks import WebhookVerificationError

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from engine.process.tasks import end_tasks
from engine.sql.statements import now
from engine.sql.tables import WebhookDeliveryRow
from engine.webhooks import deliveries, endpoints
from engine.webhooks.endpoints import WebhookWithSecret
from engine.webhooks.sender import claim_sending
from engine.work import outbox
from tests.owing import add_caller, make_due, owe, owed, register
from tests.receiver import Receiver
from tests.service import eventually

pytestmark = pytest.mark.anyio

WAITS = (100.0, 200.0)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=f"unix://{tmp_path}/nobody.sock",
        model_provider="simulated",
        webhook_private_addresses=True,
        webhook_waits=WAITS,
    )


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture
async def webhook(resources: Resources, receiver: Receiver) -> WebhookWithSecret:
    """A webhook that is owed one message."""
    return await resources.database.write(owe, receiver.url)


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine nine hours east of Greenwich."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


async def work(resources: Resources) -> int:
    """Send all that is due, as a worker does, and return how many messages that were."""
    sent = 0
    while run := await claim_sending(resources, asyncio.Event()):
        await run()
        sent += 1
    return sent


async def seconds_to_wait(resources: Resources) -> float:
    def ask(session: Session) -> float:
        row = session.query(WebhookDeliveryRow.next_at - now()).one()
        return float(row[0])

    return await resources.database.read(ask)


async def only_row(resources: Resources) -> WebhookDeliveryRow:
    (row,) = await resources.database.read(owed)
    return row


async def test_a_message_arrives_signed_and_once(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    assert await work(resources) == 1
    (request,) = receiver.requests
    event = request.verified(webhook.signing_secret)
    assert event["data"] == {"id": "batch_1"}
    assert request.headers["webhook-id"] == event["id"]
    assert request.headers["content-type"] == "application/json"
    assert (await only_row(resources)).status == "delivered"


@pytest.mark.usefixtures("_elsewhere")
async def test_the_zone_of_the_machines_clock_does_not_matter(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    await work(resources)
    assert receiver.requests[0].verified(webhook.signing_secret)


async def test_another_secret_does_not_verify(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    await work(resources)
    with pytest.raises(WebhookVerificationError):
        receiver.requests[0].verified(webhook.signing_secret[:-4] + "AAA=")


@pytest.mark.parametrize("status", [301, 400, 404, 429, 500, 503])
@pytest.mark.usefixtures("webhook")
async def test_only_a_2xx_is_success(resources: Resources, receiver: Receiver, status: int) -> None:
    receiver.answer(status, location=receiver.url)
    await work(resources)
    row = await only_row(resources)
    assert (row.status, row.last_status) == ("pending", status)
    assert row.last_error == f"The receiver answered {status}."
    assert len(receiver.requests) == 1


async def test_each_try_has_the_same_id_and_its_own_time(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    receiver.answer(500)
    await work(resources)
    await asyncio.sleep(1.0)  # the time in a signature has whole seconds
    await resources.database.write(make_due)
    await work(resources)
    first, second = receiver.requests
    assert first.verified(webhook.signing_secret) == second.verified(webhook.signing_secret)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]
    assert (await only_row(resources)).status == "delivered"


@pytest.mark.usefixtures("webhook")
async def test_tries_come_after_the_set_waits_and_then_end(
    resources: Resources, receiver: Receiver
) -> None:
    receiver.answer(*[500] * len(WAITS), 502)
    for wait in WAITS:
        await work(resources)
        assert wait * 0.9 <= await seconds_to_wait(resources) <= wait * 1.2
        await resources.database.write(make_due)
    await work(resources)
    row = await only_row(resources)
    assert (row.status, row.last_status, row.attempt) == ("dead", 502, len(WAITS) + 1)
    assert await work(resources) == 0


@pytest.mark.parametrize(("asked", "seconds"), [("150", 150), ("10", 100), ("9" * 9, 86_400)])
@pytest.mark.usefixtures("webhook")
async def test_a_receiver_may_ask_for_a_longer_wait_up_to_a_day(
    resources: Resources, receiver: Receiver, asked: str, seconds: float
) -> None:
    receiver.answer(503, retry_after=asked)
    await work(resources)
    assert seconds * 0.9 <= await seconds_to_wait(resources) <= seconds * 1.2


@pytest.mark.usefixtures("webhook")
async def test_a_receiver_that_cannot_be_reached_is_tried_again(
    settings: Settings, resources: Resources, receiver: Receiver
) -> None:
    guarded = settings.model_copy(update={"webhook_private_addresses": False})
    async with open_resources(guarded) as careful:
        await work(careful)
    row = await only_row(resources)
    assert (row.status, row.last_status) == ("pending", None)
    assert "this is not a public address" in str(row.last_error)
    assert receiver.requests == []


async def test_a_url_that_no_library_can_send_to_dies_like_any_other(
    resources: Resources,
) -> None:
    def make(session: Session) -> None:
        register(session, add_caller(session), f"https://{'a' * 70}.example/")
        outbox.enqueue_event(session, "caller_a", "batch.completed", "batch_1")

    await resources.database.write(make)
    for _ in range(len(WAITS) + 1):
        assert await work(resources) == 1
        await resources.database.write(make_due)
    assert (await only_row(resources)).status == "dead"


async def test_while_a_secret_rotates_each_of_both_verifies(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    new = await resources.database.write(
        endpoints.rotate_secret, "caller_a", webhook.id, keep_seconds=60
    )
    await work(resources)
    (request,) = receiver.requests
    assert request.verified(new.signing_secret) == request.verified(webhook.signing_secret)
    assert len(request.headers["webhook-signature"].split(" ")) == 2


@pytest.mark.usefixtures("webhook")
async def test_a_receiver_that_is_gone_is_left_alone(
    resources: Resources, receiver: Receiver
) -> None:
    receiver.answer(410)
    await resources.database.write(outbox.enqueue_event, "caller_a", "batch.completed", "batch_2")
    assert await work(resources) == 1
    assert {row.status for row in await resources.database.read(owed)} == {"dead"}
    (seen,) = await resources.database.read(endpoints.list_endpoints)
    assert seen.disabled_at is not None


@pytest.mark.usefixtures("webhook")
async def test_a_resent_message_arrives_under_its_old_id(
    resources: Resources, receiver: Receiver
) -> None:
    receiver.answer(410)
    await work(resources)
    assert await resources.database.write(deliveries.resend_all) == 1
    await work(resources)
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert (await only_row(resources)).status == "delivered"


@pytest.mark.usefixtures("webhook")
async def test_a_message_of_a_dead_worker_is_sent_again_after_its_time(
    resources: Resources, receiver: Receiver
) -> None:
    receiver.open.clear()
    run = await claim_sending(resources, asyncio.Event())
    assert run
    sending = asyncio.create_task(run())
    await asyncio.to_thread(eventually, lambda: receiver.requests)
    await end_tasks(sending)
    receiver.open.set()
    assert await work(resources) == 0
    await resources.database.write(make_due)
    assert await work(resources) == 1
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    row = await only_row(resources)
    assert (row.status, row.attempt) == ("delivered", 2)


async def test_workers_at_once_send_each_message_once(
    resources: Resources, webhook: WebhookWithSecret, receiver: Receiver
) -> None:
    for number in range(20):
        await resources.database.write(
            outbox.enqueue_event, "caller_a", "batch.completed", f"batch_more_{number}"
        )
    await asyncio.gather(*(work(resources) for _ in range(3)))
    ids = [request.verified(webhook.signing_secret)["id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 21
