"""A delivery is claimed by one worker, for a while, until it is delivered or dead."""

import asyncio
import json

import pytest
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from engine.errors import Conflict, NotFound
from engine.sql.database import Database
from engine.webhooks import deliveries, endpoints
from engine.webhooks.deliveries import DeliveryOutcome, Notification
from engine.work import outbox
from tests.owing import add_caller, change, make_due, owed, register

pytestmark = pytest.mark.anyio

DELIVERED = DeliveryOutcome("delivered", 200)
LATER = DeliveryOutcome("pending", 500, "The receiver answered 500.", delay=3600)
DEAD = DeliveryOutcome("dead", 500, "The receiver answered 500.")


@pytest.fixture
async def caller(database: Database) -> str:
    caller = await database.write(add_caller)
    await database.write(register, caller)
    return caller


async def enqueue_event(database: Database, caller: str, count: int = 1) -> None:
    for number in range(count):
        await database.write(outbox.enqueue_event, caller, "batch.completed", f"batch_{number}")


async def claim(
    database: Database, seconds: float = 60, most_in_flight: int = 100
) -> Notification | None:
    return await database.write(
        deliveries.claim_deliveries, seconds=seconds, most_in_flight=most_in_flight
    )


async def claimed(database: Database) -> Notification:
    notification = await claim(database)
    assert notification
    return notification


async def test_where_nothing_is_owed_nothing_is_claimed(database: Database, caller: str) -> None:
    assert caller
    assert await claim(database) is None


async def test_a_message_is_claimed_by_one(database: Database, caller: str) -> None:
    await enqueue_event(database, caller)
    assert (await claimed(database)).attempt == 1
    assert await claim(database) is None


async def test_claims_at_once_get_different_messages(database: Database, caller: str) -> None:
    await enqueue_event(database, caller, 5)
    got = await asyncio.gather(*(claim(database) for _ in range(8)))
    ids = [each.id for each in got if each]
    assert len(ids) == len(set(ids)) == 5


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_claim_does_not_wait_for_another(database: Database, caller: str) -> None:
    def claim_inside(session: Session) -> tuple[Notification | None, Notification | None]:
        first = deliveries.claim_deliveries(session, seconds=60, most_in_flight=100)
        return first, await_only(asyncio.wait_for(claim(database), 5))

    await enqueue_event(database, caller, 2)
    first, second = await database.write(claim_inside)
    assert first
    assert second
    assert first.id != second.id


async def test_a_message_of_a_dead_worker_is_due_again_under_the_same_id(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller)
    lost = await claim(database, seconds=0)
    again = await claimed(database)
    assert lost
    assert (again.id, again.payload, again.attempt) == (lost.id, lost.payload, 2)


async def test_a_late_record_of_a_lost_try_is_refused(database: Database, caller: str) -> None:
    await enqueue_event(database, caller)
    lost = await claim(database, seconds=0)
    again = await claimed(database)
    assert lost
    assert not await database.write(deliveries.record_delivery, lost, DEAD)
    assert await database.write(deliveries.record_delivery, again, DELIVERED)
    (row,) = await database.read(owed)
    assert (row.status, row.last_status, row.last_error) == ("delivered", 200, None)
    assert row.finished_at is not None


async def test_an_ended_message_stays_ended(database: Database, caller: str) -> None:
    await enqueue_event(database, caller)
    notification = await claimed(database)
    assert await database.write(deliveries.record_delivery, notification, DELIVERED)
    assert not await database.write(deliveries.record_delivery, notification, LATER)
    await database.write(make_due)
    assert await claim(database) is None


async def test_a_failed_try_waits(database: Database, caller: str) -> None:
    await enqueue_event(database, caller)
    assert await database.write(deliveries.record_delivery, await claimed(database), LATER)
    assert await claim(database) is None
    await database.write(make_due)
    assert (await claimed(database)).attempt == 2


async def test_a_caller_whose_receiver_hangs_holds_only_itself_up(
    database: Database, caller: str
) -> None:
    other = await database.write(add_caller, "caller_b")
    await database.write(register, other)
    await enqueue_event(database, caller, 5)
    await enqueue_event(database, other)
    got = [await claim(database, most_in_flight=2) for _ in range(4)]
    webhook_ids = [each.webhook_id for each in got if each]
    assert len(webhook_ids) == 3
    assert len(set(webhook_ids)) == 2


async def test_a_failed_try_is_not_in_flight(database: Database, caller: str) -> None:
    await enqueue_event(database, caller, 2)
    await database.write(deliveries.record_delivery, await claimed(database), LATER)
    assert await claim(database, most_in_flight=1)


async def test_while_a_secret_rotates_both_sign(database: Database, caller: str) -> None:
    (webhook,) = await database.read(endpoints.list_endpoints)
    new = await database.write(endpoints.rotate_secret, caller, webhook.id, keep_seconds=60)
    newest = await database.write(endpoints.rotate_secret, caller, webhook.id, keep_seconds=60)
    await enqueue_event(database, caller)
    assert (await claimed(database)).secrets == [newest.signing_secret, new.signing_secret]


async def test_after_the_rotation_only_the_new_secret_signs(
    database: Database, caller: str
) -> None:
    (webhook,) = await database.read(endpoints.list_endpoints)
    new = await database.write(endpoints.rotate_secret, caller, webhook.id, keep_seconds=0)
    await enqueue_event(database, caller)
    assert (await claimed(database)).secrets == [new.signing_secret]


async def test_a_receiver_that_is_gone_ends_all_that_is_owed_to_it(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller, 3)
    notification = await claimed(database)
    await database.write(deliveries.disable_endpoint, notification)
    assert {row.status for row in await database.read(owed)} == {"dead"}
    (webhook,) = await database.read(endpoints.list_endpoints)
    assert webhook.disabled_at is not None
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_later")
    assert len(await database.read(owed)) == 3


async def test_a_webhook_that_is_deleted_already_is_not_disabled(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller)
    notification = await claimed(database)
    await database.write(endpoints.remove_endpoint, caller, notification.webhook_id)
    await database.write(deliveries.disable_endpoint, notification)


async def test_a_webhook_with_another_address_meanwhile_is_not_disabled(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller)
    notification = await claimed(database)
    await database.write(change, caller, notification.webhook_id, url="https://new.example/")
    await database.write(deliveries.disable_endpoint, notification)
    (webhook,) = await database.read(endpoints.list_endpoints)
    assert webhook.disabled_at is None
    await database.write(make_due)
    assert (await claimed(database)).url == "https://new.example/"


async def test_a_sample_is_signed_like_a_message_and_owed_to_nobody(
    database: Database, caller: str
) -> None:
    (webhook,) = await database.read(endpoints.list_endpoints)
    new = await database.write(endpoints.rotate_secret, caller, webhook.id, keep_seconds=0)
    sample = await database.read(deliveries.sample_event, caller, webhook.id, "job.failed")
    assert (sample.url, sample.secrets) == (webhook.url, [new.signing_secret])
    assert json.loads(sample.payload)["data"] == {"id": "job_sample"}
    assert await database.read(owed) == []


async def test_the_dead_are_listed_latest_first(database: Database, caller: str) -> None:
    await enqueue_event(database, caller, 3)
    for _ in range(2):
        await database.write(deliveries.record_delivery, await claimed(database), DEAD)
    letters = await database.read(deliveries.list_dead, 10)
    assert [letter.subject_id for letter in letters] == ["batch_1", "batch_0"]
    assert letters[0].error == "The receiver answered 500."
    assert len(await database.read(deliveries.list_dead, 1)) == 1


async def test_a_dead_message_is_sent_again_with_all_its_tries(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller)
    notification = await claimed(database)
    await database.write(deliveries.record_delivery, notification, DEAD)
    await database.write(deliveries.resend_delivery, notification.id)
    again = await claimed(database)
    assert (again.id, again.attempt) == (notification.id, 1)


async def test_all_dead_messages_are_sent_again_and_no_others(
    database: Database, caller: str
) -> None:
    await enqueue_event(database, caller, 3)
    for outcome in (DEAD, DEAD, DELIVERED):
        await database.write(deliveries.record_delivery, await claimed(database), outcome)
    assert await database.write(deliveries.resend_all) == 2
    statuses = [row.status for row in await database.read(owed)]
    assert statuses == ["pending", "pending", "delivered"]


async def test_only_the_dead_are_resent(database: Database, caller: str) -> None:
    await enqueue_event(database, caller)
    notification = await claimed(database)
    with pytest.raises(Conflict, match="is pending"):
        await database.write(deliveries.resend_delivery, notification.id)
    with pytest.raises(NotFound, match="app webhooks dead"):
        await database.write(deliveries.resend_delivery, "evt_none")
