"""Callers and logs learn no secret of a receiver, and no key."""

import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from sqlalchemy.orm import Session

from app.api.webhooks import _send as send_sample
from app.settings import Settings
from engine.callers.keys import PREFIX, create_key, find_caller
from engine.errors import ReceiverUnreachable
from engine.process.address_guard import open_guarded_http
from engine.process.webhook_client import WebhookClient
from engine.sql.database import Database
from engine.webhooks.deliveries import Notification
from engine.webhooks.sender import deliver_message

pytestmark = pytest.mark.anyio

URL = "https://receiver.example/services/T0/hush?token=hush"


class Names(AbstractResolver):
    """A name server that knows one address of each name, or no name."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if not self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(hostname=host, host=each, port=port, family=family, proto=0, flags=0)
            for each in self._addresses
        ]

    async def close(self) -> None:
        pass


class Nothing:
    """A database that is written to in vain."""

    async def write(self, *_args: object) -> None:
        pass


def notification(url: str = URL) -> Notification:
    return Notification("evt_1", "we_1", url, ["whsec_aGVsbG8="], b"{}", 1)


async def told_of(names: Names) -> str:
    settings = Settings(_env_file=None)
    async with open_guarded_http(settings, names) as http:
        shared: Any = SimpleNamespace(
            webhook_client=WebhookClient(http, settings), settings=settings
        )
        with pytest.raises(ReceiverUnreachable) as raised:
            await send_sample(shared, notification())
    return raised.value.message


@pytest.mark.parametrize(
    "addresses", [["10.0.0.1"], ["127.0.0.1"], ["10.0.0.1", "10.0.0.2"], ["169.254.169.254"]]
)
async def test_a_name_inside_is_told_like_one_that_nobody_has(addresses: list[str]) -> None:
    assert await told_of(Names(*addresses)) == await told_of(Names())


async def test_no_log_line_has_more_of_a_receiver_than_its_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(_env_file=None)
    async with open_guarded_http(settings, Names()) as http:
        resources: Any = SimpleNamespace(
            webhook_client=WebhookClient(http, settings), settings=settings, database=Nothing()
        )
        with caplog.at_level(logging.DEBUG):
            await deliver_message(resources, notification())
    assert "receiver.example" in caplog.text
    assert "hush" not in caplog.text + repr(notification())


@pytest.mark.parametrize("spoilt", ["", "SK-", "sk-sk-", "sk", "Bearer sk-"])
async def test_a_key_is_none_without_its_prefix(database: Database, spoilt: str) -> None:
    def callers(session: Session) -> list[bool]:
        key = create_key(session, "ada")
        keys = key, spoilt + key.removeprefix(PREFIX)
        return [find_caller(session, each) is not None for each in keys]

    assert await database.write(callers) == [True, False]
