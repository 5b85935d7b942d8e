"""Webhook endpoints: registering and changing them."""

import asyncio
import base64

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.errors import Conflict, InvalidRequest, NotFound
from engine.sql.database import Database
from engine.sql.pagination import PageQuery
from engine.sql.tables import WebhookRow
from engine.webhooks import endpoints
from engine.work.outbox import EventType
from tests.owing import add_caller, change, disable, register

pytestmark = pytest.mark.anyio

EVENTS: list[EventType] = ["batch.completed"]
"""What the endpoints of `register` are told of."""


@pytest.fixture
async def caller(database: Database) -> str:
    return await database.write(add_caller)


async def test_a_secret_is_as_standard_webhooks_demands(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    prefix, _, encoded = webhook.signing_secret.partition("_")
    assert prefix == "whsec"
    assert 24 <= len(base64.b64decode(encoded, validate=True)) <= 64


async def test_a_secret_is_shown_once(database: Database, caller: str) -> None:
    webhook = await database.write(register, caller)
    shown = await database.read(endpoints.get_endpoint, caller, webhook.id)
    listed = await database.read(endpoints.page_of_endpoints, caller, PageQuery())
    assert "signing_secret" not in shown.model_dump()
    assert webhook.signing_secret not in listed.model_dump_json()
    assert shown.signing_secret_hint == f"whsec_****{webhook.signing_secret[-4:]}"


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
    with pytest.raises(Conflict, match="You have 1 webhook endpoints"):
        await database.write(register, caller, most=1)
    await database.write(register, other, most=1)
    await database.write(endpoints.remove_endpoint, caller, first.id)
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
        await database.read(endpoints.get_endpoint, stranger, webhook.id)
    with pytest.raises(NotFound):
        await database.write(endpoints.remove_endpoint, stranger, webhook.id)
    with pytest.raises(NotFound):
        await database.write(change, stranger, webhook.id, name="theirs")
    with pytest.raises(NotFound):
        await database.write(endpoints.rotate_secret, stranger, webhook.id, keep_seconds=1)
    assert (await database.read(endpoints.page_of_endpoints, stranger, PageQuery())).data == []


async def test_of_several_that_delete_it_at_once_one_does(database: Database, caller: str) -> None:
    made = [await database.write(register, caller) for _ in range(10)]
    removals = [
        database.write(endpoints.remove_endpoint, caller, each.id)
        for each in made
        for _ in range(4)
    ]
    results = await asyncio.gather(*removals, return_exceptions=True)
    assert sum(isinstance(each, NotFound) for each in results) == 30


async def test_an_update_changes_only_what_it_names(database: Database, caller: str) -> None:
    before = await database.write(register, caller)
    await database.write(change, caller, before.id, name="new")
    await database.write(change, caller, before.id, url="https://new.example/")
    await database.write(change, caller, before.id, event_types=["job.failed", "batch.failed"])
    after = await database.read(endpoints.get_endpoint, caller, before.id)
    assert (after.name, after.url) == ("new", "https://new.example/")
    assert after.event_types == ["batch.failed", "job.failed"]
    assert after.created_at == before.created_at
    assert after.signing_secret_hint == before.signing_secret_hint


async def test_only_a_change_is_the_last_change(database: Database, caller: str) -> None:
    made = await database.write(register, caller)
    await database.write(age)
    same = await database.write(change, caller, made.id, name=made.name, event_types=EVENTS)
    assert same.updated_at == 1
    same = await database.write(change, caller, made.id, url=made.url)
    assert same.updated_at == 1
    assert (await database.write(change, caller, made.id, name="new")).updated_at > 1
    await database.write(age)
    rotated = await database.write(endpoints.rotate_secret, caller, made.id, keep_seconds=0)
    assert rotated.updated_at > 1


async def test_an_update_to_a_url_that_nothing_is_sent_to_changes_nothing(
    database: Database, caller: str
) -> None:
    made = await database.write(register, caller)
    with pytest.raises(InvalidRequest):
        await database.write(change, caller, made.id, name="new", url="https://127.0.0.1/")
    assert (await database.read(endpoints.get_endpoint, caller, made.id)).name == made.name


@pytest.mark.parametrize("url", ["https://receiver.example/hook", "https://new.example/"])
async def test_a_url_enables_a_disabled_webhook(database: Database, caller: str, url: str) -> None:
    made = await database.write(register, caller)
    await database.write(disable, made.id)
    assert (await database.write(change, caller, made.id, name="new")).disabled_at == 1
    assert (await database.write(change, caller, made.id, url=url)).disabled_at is None


async def test_an_old_secret_is_forgotten_unless_it_is_to_be_kept(
    database: Database, caller: str
) -> None:
    made = await database.write(register, caller)
    await database.write(endpoints.rotate_secret, caller, made.id, keep_seconds=60)
    await database.write(endpoints.rotate_secret, caller, made.id, keep_seconds=0)
    assert await database.read(previous_secrets) == [None]


def age(session: Session) -> None:
    """Put all changes into the past."""
    session.query(WebhookRow).update({"updated_at": 1.0})


def previous_secrets(session: Session) -> list[str | None]:
    return list(session.scalars(select(WebhookRow.previous_secret)))
