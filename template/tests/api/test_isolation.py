"""Shared resources are opened once; the data of a request stays in it."""

import asyncio
import http.client
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import pytest
from aiohttp import ClientSession

from app.main import create_app
from app.resources import lifespan
from engine.resources import Opening
from tests.api.serving import serving
from tests.contamination import pipelined
from tests.lines import chat_body
from tests.service import Service, eventually, service

CHAT = "/v1/chat/completions"
T = TypeVar("T")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each resource has been opened, and how many HTTP clients were made."""
    counts: Counter[str] = Counter()
    make = ClientSession.__init__

    class Counting(Opening):
        async def enter(self, name: str, resource: AbstractAsyncContextManager[T]) -> T:
            counts[name] += 1
            return await super().enter(name, resource)

    def counted(self: ClientSession, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        counts["clients"] += 1
        make(self, *args, **kwargs)

    monkeypatch.setattr(lifespan, "Opening", Counting)
    monkeypatch.setattr(ClientSession, "__init__", counted)
    return counts


@pytest.fixture
def prepared(redis_url: str, tmp_path: Path) -> Iterator[tuple[Service, str]]:
    """A service with tables whose process is the test itself, and a key that may ask often."""
    with service(tmp_path, redis_url) as ready:
        yield ready, ready.new_key(requests_per_minute=100_000)


@pytest.mark.anyio
async def test_a_thousand_requests_open_each_resource_once(
    prepared: tuple[Service, str], opened: Counter[str]
) -> None:
    ready, key = prepared
    bearer = {"authorization": f"Bearer {key}"}
    body = chat_body("Hello", max_tokens=1)
    async with serving(create_app(ready.settings)) as client:
        for _ in range(40):
            calls = [client.post(CHAT, json=body, headers=bearer) for _ in range(25)]
            assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}
    once = ["database", "redis", "http", "guarded_http", "news", "tokenizer", "model", "background"]
    once += ["requests", "heartbeat"]
    clients = {"clients": 2}  # of model servers, and of receivers of webhooks
    assert opened == dict.fromkeys({*once, *opened}, 1) | clients  # a team has more of its own


class KeptAlive:
    """One connection; asking on another is an error."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        connection.connect()
        connection.auto_open = False

    def ask(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, Any]:
        """Return the answer and its JSON; underscores in names of headers become hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request(method, path, json.dumps(body) if body else None, named)
        answer = self._connection.getresponse()
        return answer, json.loads(answer.read())


@pytest.fixture
def connection(live: Service) -> Iterator[KeptAlive]:
    with closing(http.client.HTTPConnection("127.0.0.1", live.settings.port, timeout=60)) as one:
        yield KeptAlive(one)


def test_a_request_id_does_not_reach_the_next_request_of_its_connection(
    live: Service, connection: KeptAlive
) -> None:
    mine = f"mine-{uuid4().hex}"
    first, _ = connection.ask("GET", "/live", x_request_id=mine)
    second, _ = connection.ask("GET", "/live")
    third, _ = connection.ask("GET", "/live")
    ids = [answer.headers["x-request-id"] for answer in (first, second, third)]
    assert ids[0] == mine
    assert len(set(ids)) == 3
    log = live.programs[0].text
    eventually(lambda: f"[{ids[2]}] GET /live 200" in log())
    assert [log().count(f"[{each}] GET /live 200") for each in ids] == [1, 1, 1]


def test_a_request_id_does_not_reach_requests_that_were_sent_before_its_answer(
    live: Service,
) -> None:
    mine = {"x-request-id": f"mine-{uuid4().hex}"}
    url = httpx.URL(live.url)
    said = asyncio.run(pipelined(url, ("/live", mine), ("/live", {}), ("/live", {})))
    ids = re.findall("x-request-id: (.*)\r", said)
    assert ids[0] == mine["x-request-id"]
    assert len(set(ids)) == 3


def test_a_caller_does_not_reach_the_next_request_of_its_connection(
    live: Service, key: str, connection: KeptAlive
) -> None:
    known, _ = connection.ask("GET", "/v1/models", authorization=f"Bearer {key}")
    stranger, _ = connection.ask("GET", "/v1/models")
    again, _ = connection.ask("GET", "/v1/models", authorization=f"Bearer {key}")
    assert [answer.status for answer in (known, stranger, again)] == [200, 401, 200]


def test_two_callers_on_one_connection_each_have_their_own_limit(
    live: Service, connection: KeptAlive
) -> None:
    a, b = (live.new_key(f"sharing {uuid4().hex}") for _ in range(2))
    left = [
        connection.ask("POST", CHAT, chat_body("Hello"), authorization=f"Bearer {key}")[0].headers[
            "x-ratelimit-remaining-requests"
        ]
        for key in (a, b)
    ]
    assert left[0] == left[1]


def test_a_deadline_does_not_reach_the_next_request_of_its_connection(
    key: str, connection: KeptAlive
) -> None:
    bearer, body = f"Bearer {key}", chat_body("Hello")
    hasty, _ = connection.ask(
        "POST", CHAT, body, authorization=bearer, x_request_timeout="0.000001"
    )
    patient, _ = connection.ask("POST", CHAT, body, authorization=bearer)
    assert [hasty.status, patient.status] == [504, 200]


@pytest.fixture
def keys(live: Service) -> list[str]:
    """Keys of ten callers who have used nothing yet."""
    return [live.new_key(f"overlapping {uuid4().hex}") for _ in range(10)]


async def ask_at_once(live: Service, keys: list[str]) -> dict[str, list[int]]:
    """Return the completion tokens of each caller's answers, ten each, all asked at once."""

    async def ask(key: str, number: int) -> tuple[str, int]:
        async with live.async_client(key) as client:
            answer = await client.chat.completions.create(
                model="simulated-chat",
                messages=[{"role": "user", "content": f"{key} {number}"}],
                max_tokens=keys.index(key) + 1,
            )
        assert answer.usage
        return key, answer.usage.completion_tokens

    answers = await asyncio.gather(*(ask(key, number) for number in range(10) for key in keys))
    return {key: [tokens for owner, tokens in answers if owner == key] for key in keys}


def test_overlapping_callers_each_get_their_own_answers_and_their_own_bill(
    live: Service, keys: list[str]
) -> None:
    tokens = asyncio.run(ask_at_once(live, keys))
    assert list(tokens.values()) == [[limit] * 10 for limit in range(1, 11)]
    for key in keys:
        with live.http(key) as client:
            eventually(lambda client=client: _used(client)[0] == 10)  # type: ignore[misc]
            assert _used(client) == (10, sum(tokens[key]))


def _used(client: httpx.Client) -> tuple[int, int]:
    """Return requests and completion tokens."""
    days = client.get("/v1/usage").json()["data"]
    return sum(day["requests"] for day in days), sum(day["completion_tokens"] for day in days)
