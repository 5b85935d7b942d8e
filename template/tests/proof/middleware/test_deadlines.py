"""A request has one deadline, of its client or of the setting, for all that is done for it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace

import pytest
from aiohttp import web
from openai import OpenAI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.main import create_app
from app.middleware.life_cycle import LifeCycle
from engine.process.drain import Drain
from engine.slots.admission_queue import AdmissionQueue, CoDel
from tests import upstream
from tests.api.serving import serving
from tests.lines import chat_body
from tests.service import Service, service

CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("wish", ["soon", "0", "-1", "nan", ""])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/files"])
def test_a_time_that_is_none_is_refused_everywhere(
    live: Service, key: str, path: str, wish: str
) -> None:
    with live.http(key) as http:
        answer = http.get(path, headers={"x-request-timeout": wish})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "x-request-timeout"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/v1/files", "/v1/batches", "/v1/usage"])
def test_out_of_time_the_database_is_not_asked(live: Service, key: str, path: str) -> None:
    with live.http(key) as http:
        answer = http.get(path, headers={"x-request-timeout": "0.000001"})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert answer.headers["x-should-retry"] == "false"


def test_nothing_is_created_by_a_request_out_of_time(
    client: OpenAI, live: Service, key: str
) -> None:
    before = [file.id for file in client.files.list()]
    with live.http(key) as http:
        late = http.post(
            "/v1/files",
            files={"file": ("in.jsonl", b"{}")},
            data={"purpose": "batch"},
            headers={"x-request-timeout": "0.000001"},
        )
    assert late.status_code == 504
    assert [file.id for file in client.files.list()] == before


def test_a_wish_beyond_the_setting_changes_nothing(live: Service, key: str) -> None:
    with live.http(key) as http:
        answer = http.post(CHAT, json=chat_body("Hello"), headers={"x-request-timeout": "inf"})
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def prepared(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, str]]:
    """A service with tables whose process is the test itself, and a key."""
    with service(tmp_path_factory.mktemp("deadlines"), redis_url) as ready:
        yield ready, ready.new_key()


async def _silent(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def _answers(_scope: Scope, _receive: Receive, send: Send) -> None:
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _answers_and_ends(scope: Scope, receive: Receive, send: Send) -> None:
    await _answers(scope, receive, send)
    raise asyncio.CancelledError


@pytest.mark.anyio
@pytest.mark.parametrize("app", [_answers, _answers_and_ends])
async def test_an_endpoint_that_handles_its_own_deadline_is_not_answered_for(app: ASGIApp) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read here")

    queue = AdmissionQueue(places=1, most_waiting=0, delay=CoDel(1, 1))
    resources = SimpleNamespace(drain=Drain(0, 0), admission_queue=queue)
    scope = {
        "type": "http",
        "path": "/",
        "headers": [(b"x-request-timeout", b"0.01")],
        "state": {"resources": resources},
    }
    with suppress(TimeoutError):
        await LifeCycle(app, longest=60)(scope, receive, send)
    assert [message.get("status") for message in sent] == [418, None]


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [False, True])
async def test_the_model_server_is_told_what_is_left_and_left_when_it_is_over(
    prepared: tuple[Service, str], *, stream: bool
) -> None:
    ready, key = prepared
    async with upstream.serving(_silent) as silent:
        values = {"model_provider": "openai", "openai_base_url": silent.url}
        async with serving(create_app(ready.settings.model_copy(update=values))) as client:
            answer = await client.post(
                CHAT,
                json=chat_body("Hello", stream=stream),
                headers={"authorization": f"Bearer {key}", "x-request-timeout": "0.5"},
            )
        async with asyncio.timeout(30):
            await silent.gone.wait()
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert 0 < float(silent.headers[-1]["x-request-timeout"]) <= 0.5
