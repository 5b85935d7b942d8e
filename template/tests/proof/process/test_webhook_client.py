"""Nothing that a caller can write into a URL leads into this network, and no answer leads on."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import httpx
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from app.settings import Settings
from engine.process.address_guard import Resolver, open_guarded_http, public_socket
from engine.process.webhook_client import WebhookClient
from tests.receiver import Receiver

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"


class Answers(AbstractResolver):
    """A name server in the hands of an attacker: each question gets the next answer."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self._addresses.pop(0)
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


@asynccontextmanager
async def open_webhook_client(
    settings: Settings, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebhookClient]:
    async with open_guarded_http(settings, resolver) as http:
        yield WebhookClient(http, settings)


@pytest.fixture
def port(receiver: Receiver) -> int:
    return int(receiver.url.rsplit(":", 1)[1].partition("/")[0])


@pytest.fixture
async def guarded() -> AsyncIterator[WebhookClient]:
    async with open_webhook_client(Settings(_env_file=None)) as opened:
        yield opened


@pytest.fixture
async def inside() -> AsyncIterator[WebhookClient]:
    settings = Settings(_env_file=None, webhook_private_addresses=True, webhook_timeout=0.5)
    async with open_webhook_client(settings) as opened:
        yield opened


async def test_a_receiver_gets_the_very_bytes(inside: WebhookClient, receiver: Receiver) -> None:
    reply = await inside.post(receiver.url, b'{"a": "\xc3\xa4"}', {"webhook-id": "evt_1"})
    (request,) = receiver.requests
    assert reply.status == 204
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.body == b'{"a": "\xc3\xa4"}'
    assert request.headers["webhook-id"] == "evt_1"
    assert request.headers["user-agent"] == "llm-api-webhooks"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "\uff11\uff12\uff17.0.0.1",
        "①②⑦.0.0.1",
    ],
)
async def test_no_notation_of_this_machine_is_connected_to(
    guarded: WebhookClient, receiver: Receiver, port: int, host: str
) -> None:
    with pytest.raises((httpx.TransportError, httpx.InvalidURL)):
        await guarded.post(f"http://{host}:{port}/hook", b"{}", {})
    assert receiver.requests == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_name_that_leads_inside_is_not_connected_to(
    receiver: Receiver, port: int, address: str
) -> None:
    async with open_webhook_client(Settings(_env_file=None), Answers(address)) as guarded:
        with pytest.raises(httpx.ConnectError, match="this is not a public address"):
            await guarded.post(f"http://innocent.example:{port}/hook", b"{}", {})
    assert receiver.requests == []


async def test_a_name_that_was_public_when_it_was_looked_at_is_checked_again(
    receiver: Receiver, port: int
) -> None:
    rebinding = Answers(PUBLIC, "127.0.0.1")
    assert (await rebinding.resolve("innocent.example"))[0]["host"] == PUBLIC
    async with open_webhook_client(Settings(_env_file=None), rebinding) as guarded:
        with pytest.raises(httpx.ConnectError, match="this is not a public address"):
            await guarded.post(f"http://innocent.example:{port}/hook", b"{}", {})
    assert receiver.requests == []


async def test_no_connection_or_name_is_kept_for_the_next_call(
    receiver: Receiver, port: int
) -> None:
    changing = Answers("127.0.0.1", "127.0.0.2", "127.0.0.3")
    settings = Settings(_env_file=None, webhook_private_addresses=True)
    async with open_webhook_client(settings, changing) as inside:
        await inside.post(f"http://innocent.example:{port}/hook", b"{}", {})
        with pytest.raises(httpx.ConnectError, match=r"127\.0\.0\.2|innocent"):
            await inside.post(f"http://innocent.example:{port}/hook", b"{}", {})
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("address", [PUBLIC, "::ffff:8.8.8.8"])
def test_a_public_address_gets_a_socket(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    target = (address, 443, 0, 0) if ":" in address else (address, 443)
    with public_socket((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", target)) as made:
        assert made.family == family


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(
    inside: WebhookClient, receiver: Receiver, status: int
) -> None:
    receiver.answer(status, location=receiver.url)
    assert (await inside.post(receiver.url, b"{}", {})).status == status
    assert len(receiver.requests) == 1


async def test_cookies_are_not_kept(inside: WebhookClient, receiver: Receiver) -> None:
    receiver.answer(204, set_cookie="session=somebodys; Path=/")
    url = receiver.url.replace("127.0.0.1", "localhost")
    for _ in range(2):
        await inside.post(url, b"{}", {})
    assert "cookie" not in receiver.requests[1].headers


async def test_proxies_of_the_environment_are_not_used(
    inside: WebhookClient, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await inside.post(receiver.url, b"{}", {})).status == 204


async def test_a_receiver_that_is_silent_is_left(inside: WebhookClient, receiver: Receiver) -> None:
    receiver.open.clear()
    with pytest.raises(TimeoutError):
        await inside.post(receiver.url, b"{}", {})


async def test_an_answer_without_end_is_not_read(inside: WebhookClient, receiver: Receiver) -> None:
    receiver.answer(200, content_length=str(2**40))
    assert (await inside.post(receiver.url, b"{}", {})).status == 200


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120),
        (None, 3600),  # the date that it is in an hour
        (formatdate(0, usegmt=True), 0),
        ("soon", 0),
        ("-5", 0),
        ("Mon, 01 Jan 0001 00:00:00 -0000", 0),
    ],
)
async def test_the_wait_that_a_receiver_asks_for_is_understood(
    inside: WebhookClient, receiver: Receiver, said: str | None, seconds: float
) -> None:
    in_an_hour = formatdate(time.time() + 3600, usegmt=True)
    receiver.answer(503, retry_after=said or in_an_hour)
    reply = await inside.post(receiver.url, b"{}", {})
    assert reply.retry_after == pytest.approx(seconds, abs=60)


async def test_a_name_is_looked_up() -> None:
    found = await Resolver().resolve("localhost", 80)
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
    assert {each["port"] for each in found} == {80}


async def test_a_name_without_address_is_an_error_of_the_call(inside: WebhookClient) -> None:
    with pytest.raises(httpx.ConnectError):
        await inside.post("http://nobody.invalid/", b"{}", {})
