"""What callers may register, and what is owed to whom when something ends."""

import asyncio
import base64
import json

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.domain import webhooks
from app.domain.pages import PageQuery
from app.domain.tables import CallerRow, WebhookRow
from app.errors import Conflict, InvalidRequest, NotFound
from app.resources.database import Database
from tests.domain.owing import add_caller, owed, register

pytestmark = pytest.mark.anyio


@pytest.fixture
async def caller(database: Database) -> str:
    return await database.write(add_caller)


async def test_a_secret_is_as_standard_webhooks_demands(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    prefix, _, encoded = webhook.secret.partition("_")
    assert prefix == "whsec"
    assert 24 <= len(base64.b64decode(encoded, validate=True)) <= 64


async def test_a_secret_is_shown_once(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    shown = await database.read(webhooks.get, caller, webhook.id)
    listed = await database.read(webhooks.page, caller, PageQuery())
    assert "secret" not in shown.model_dump()
    assert webhook.secret not in listed.model_dump_json()


@pytest.mark.parametrize(
    "url",
    [
        "http://receiver.example/",
        "https://user@receiver.example/",
        "https://user:password@receiver.example/",
        "https://127.0.0.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
    ],
)
async def test_a_url_that_nothing_is_sent_to_is_refused(
    database: Database, caller: str, url: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await database.write(register, caller, url)
    assert caught.value.param == "url"


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://[2606:4700::1111]/x?y=1"])
async def test_a_public_address_may_be_registered(
    database: Database, caller: str, url: str
) -> None:
    assert (await database.write(register, caller, url)).url == url


async def test_where_it_is_allowed_a_url_may_lead_inside(database: Database, caller: str) -> None:
    url = "http://127.0.0.1:9000/hook"
    webhook = await database.write(register, caller, url, private_addresses=True)
    assert webhook.url == url


async def test_a_caller_has_a_number_of_webhooks(database: Database, caller: str) -> None:
    other = await database.write(add_caller, "caller_b")
    first = await database.write(register, caller, most=1)
    with pytest.raises(Conflict, match="You have 1 webhooks"):
        await database.write(register, caller, most=1)
    await database.write(register, other, most=1)
    await database.write(webhooks.remove, caller, first.id)
    await database.write(register, caller, most=1)


async def test_callers_that_register_at_once_keep_the_number(
    database: Database, caller: str
) -> None:
    tries = [database.write(register, caller, most=2) for _ in range(5)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    assert sum(isinstance(each, Conflict) for each in results) == 3


async def test_another_callers_webhook_does_not_exist(database: Database, caller: str) -> None:
    stranger = await database.write(add_caller, "caller_b")
    webhook = await database.write(register, caller)
    with pytest.raises(NotFound):
        await database.read(webhooks.get, stranger, webhook.id)
    with pytest.raises(NotFound):
        await database.write(webhooks.remove, stranger, webhook.id)
    with pytest.raises(NotFound):
        await database.write(webhooks.rotate, stranger, webhook.id, keep_seconds=1)
    assert (await database.read(webhooks.page, stranger, PageQuery())).data == []


async def test_who_asked_is_owed_a_message(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    await database.write(webhooks.announce, caller, "batch.completed", "batch_1")
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


async def test_nobody_else_is_owed_one(database: Database, caller: str) -> None:
    stranger = await database.write(add_caller, "caller_b")
    await database.write(register, stranger)
    await database.write(register, caller, events=("batch.failed", "job.succeeded"))
    disabled = await database.write(register, caller)
    await database.write(_disable, disabled.id)
    await database.write(webhooks.announce, caller, "batch.completed", "batch_1")
    assert await database.read(owed) == []


async def test_the_same_end_is_announced_once(database: Database, caller: str) -> None:
    await database.write(register, caller)
    for _ in range(2):
        await database.write(webhooks.announce, caller, "batch.completed", "batch_1")
    assert len(await database.read(owed)) == 1


async def test_what_is_rolled_back_is_not_owed(database: Database, caller: str) -> None:
    def end_and_fail(session: Session) -> None:
        webhooks.announce(session, caller, "batch.completed", "batch_1")
        session.add(CallerRow(id="caller_b", name=caller, flags=[], created_at=0.0))

    await database.write(register, caller)
    with pytest.raises(IntegrityError):
        await database.write(end_and_fail)
    assert await database.read(owed) == []


async def test_a_deleted_webhook_is_owed_nothing_more(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    await database.write(webhooks.announce, caller, "batch.completed", "batch_1")
    await database.write(webhooks.remove, caller, webhook.id)
    assert await database.read(owed) == []


async def test_of_several_that_delete_it_at_once_one_does(database: Database, caller: str) -> None:
    made = [await database.write(register, caller) for _ in range(10)]
    removals = [database.write(webhooks.remove, caller, each.id) for each in made for _ in range(4)]
    results = await asyncio.gather(*removals, return_exceptions=True)
    assert sum(isinstance(each, NotFound) for each in results) == 30


async def test_webhooks_that_go_while_things_end_break_nothing(
    database: Database, caller: str
) -> None:
    made = [await database.write(register, caller) for _ in range(8)]
    ends = [
        database.write(webhooks.announce, caller, "batch.completed", f"batch_{number}")
        for number in range(8)
    ]
    removals = [database.write(webhooks.remove, caller, webhook.id) for webhook in made]
    both = [each for pair in zip(ends, removals, strict=True) for each in pair]
    await asyncio.gather(*both)
    assert await database.read(owed) == []


def _disable(session: Session, webhook_id: str) -> None:
    session.execute(update(WebhookRow).where(WebhookRow.id == webhook_id).values(disabled_at=1.0))
