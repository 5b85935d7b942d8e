"""The outbox: the end of a batch or job is owed to each webhook that asked."""

import asyncio
import json

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from engine.sql.database import Database
from engine.sql.tables import CallerRow
from engine.webhooks import endpoints
from engine.work import outbox
from tests.owing import add_caller, disable, owed, register

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller(database: Database) -> str:
    return await database.write(add_caller)


async def test_a_caller_who_asked_is_owed_a_message(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_1")
    (row,) = await database.read(owed)
    assert (row.webhook_id, row.status, row.attempt) == (webhook.id, "pending", 0)
    payload = json.loads(row.payload)
    assert payload.pop("created_at") == int(row.created_at)
    assert payload == {
        "id": row.id,
        "object": "event",
        "type": "batch.completed",
        "data": {"id": "batch_1"},
    }


async def test_another_caller_is_owed_nothing(database: Database, caller: str) -> None:
    stranger = await database.write(add_caller, "caller_b")
    await database.write(register, stranger)
    await database.write(register, caller, event_types=("batch.failed", "job.succeeded"))
    disabled = await database.write(register, caller)
    await database.write(disable, disabled.id)
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_1")
    assert await database.read(owed) == []


async def test_a_subject_that_begins_again_is_announced_again(
    database: Database, caller: str
) -> None:
    await database.write(register, caller)
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_1")
    (before,) = await database.read(owed)
    await database.write(outbox.forget_events, "batch_1")
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_1")
    (after,) = await database.read(owed)
    assert after.id != before.id


async def test_an_event_that_is_rolled_back_is_not_owed(database: Database, caller: str) -> None:
    def end_and_fail(session: Session) -> None:
        outbox.enqueue_event(session, caller, "batch.completed", "batch_1")
        session.add(CallerRow(id="caller_b", name=caller, flags=[], created_at=0.0))

    await database.write(register, caller)
    with pytest.raises(IntegrityError):
        await database.write(end_and_fail)
    assert await database.read(owed) == []


async def test_a_deleted_webhook_is_owed_nothing_more(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    await database.write(outbox.enqueue_event, caller, "batch.completed", "batch_1")
    await database.write(endpoints.remove_endpoint, caller, webhook.id)
    assert await database.read(owed) == []


async def test_webhooks_that_go_while_things_end_break_nothing(
    database: Database, caller: str
) -> None:
    made = [await database.write(register, caller) for _ in range(8)]
    ends = [
        database.write(outbox.enqueue_event, caller, "batch.completed", f"batch_{number}")
        for number in range(8)
    ]
    removals = [database.write(endpoints.remove_endpoint, caller, webhook.id) for webhook in made]
    both = [each for pair in zip(ends, removals, strict=True) for each in pair]
    await asyncio.gather(*both)
    assert await database.read(owed) == []
