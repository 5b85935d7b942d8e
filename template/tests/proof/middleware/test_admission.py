"""A full server refuses early, and tells when to come back; probes and streams stand apart."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import httpx
import pytest

from app.main import create_app
from engine.models.interface import ChatRequest, Chunk, Model
from tests.api.serving import Streaming, serving, with_model
from tests.lines import chat_body
from tests.service import Service

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
WHOLE, STREAMED = chat_body("Hello"), chat_body("Hello", stream=True)
TOKEN = Chunk(b'data: {"choices": []}\n\n')


class Holding(Streaming):
    """A model that begins each answer and ends it when `release` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.begun = asyncio.Semaphore(0)

    async def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.begun.release()
        yield TOKEN
        await self.release.wait()


@pytest.fixture(scope="module")
def keys(prepared: Service) -> list[str]:
    """Keys of two callers."""
    return [prepared.new_key(name) for name in ("a", "b")]


class Full(Protocol):
    def __call__(
        self, model: Model, **limits: float
    ) -> AbstractAsyncContextManager[httpx.AsyncClient]: ...


@pytest.fixture
def small(prepared: Service, keys: list[str]) -> Full:
    """Gives a client of a server with these limits."""

    @asynccontextmanager
    async def small(model: Model, **limits: float) -> AsyncIterator[httpx.AsyncClient]:
        settings = prepared.settings.model_copy(update=limits)
        async with serving(with_model(create_app(settings), model)) as client:
            client.headers["authorization"] = f"Bearer {keys[0]}"
            yield client

    return small


@asynccontextmanager
async def in_flight(
    client: httpx.AsyncClient, model: Holding, body: dict[str, object]
) -> AsyncIterator[asyncio.Task[httpx.Response]]:
    """Hold one call until the block ends."""
    call = asyncio.create_task(client.post(CHAT, json=body))
    async with asyncio.timeout(30):
        await model.begun.acquire()
    try:
        yield call
    finally:
        model.release.set()
        assert (await call).status_code == 200


async def test_a_full_server_refuses_with_the_time_to_come_back(small: Full) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, max_waiting=0) as client,
        in_flight(client, model, WHOLE),
    ):
        answer = await client.post(CHAT, json=WHOLE, headers={"x-request-id": "refused-1"})
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"
    assert answer.json()["error"]["code"] == "queue_full"
    assert float(answer.headers["retry-after"]) > 0
    assert float(answer.headers["retry-after-ms"]) > 0
    assert answer.headers["x-request-id"] == "refused-1"


async def test_a_refusal_comes_before_the_body_and_the_route(small: Full) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, max_waiting=0) as client,
        in_flight(client, model, WHOLE),
    ):
        bad = await client.post(CHAT, content=b"{")
        unknown = await client.get("/nowhere")
    assert [bad.status_code, unknown.status_code] == [503, 503]


@pytest.mark.parametrize("path", ["/live", "/ready", "/metrics"])
async def test_a_full_server_answers_its_probes(small: Full, path: str) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, max_waiting=0) as client,
        in_flight(client, model, WHOLE),
    ):
        assert (await client.get(path)).status_code == 200


async def test_a_waiting_request_is_served_when_its_turn_comes(small: Full) -> None:
    model = Holding()
    async with small(model, max_requests=1) as client:
        async with in_flight(client, model, WHOLE):
            waiting = asyncio.create_task(client.get("/v1/models"))
            await until(client, 'app_limit_waiting{limit="requests"}', 1)
        assert (await waiting).status_code == 200


async def test_a_request_that_waits_too_long_is_refused(small: Full) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, queue_interval=0.05, queue_target=0.01) as client,
        in_flight(client, model, WHOLE),
    ):
        answer = await client.post(CHAT, json=WHOLE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "queue_slow")


async def test_the_wait_for_a_turn_ends_at_the_deadline(small: Full) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, queue_interval=60) as client,
        in_flight(client, model, WHOLE),
    ):
        answer = await client.post(CHAT, json=WHOLE, headers={"x-request-timeout": "0.05"})
        assert await metric(client, 'app_limit_waiting{limit="requests"}') == 0
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "deadline_exceeded")


async def test_an_answer_that_streams_leaves_its_place_to_others(small: Full) -> None:
    model = Holding()
    async with (
        small(model, max_requests=1, max_waiting=0) as client,
        client.stream("POST", CHAT, json=STREAMED) as stream,
    ):
        pieces = stream.aiter_bytes()
        await anext(pieces)  # kept: a generator that goes closes the connection
        assert (await client.get("/v1/models")).status_code == 200
        model.release.set()


async def test_streams_have_a_bound_of_their_own(small: Full) -> None:
    model = Holding()
    async with small(model, max_streams=1) as client:
        async with client.stream("POST", CHAT, json=STREAMED) as stream:
            pieces = stream.aiter_bytes()
            await anext(pieces)
            refused = await client.post(CHAT, json=STREAMED)
        await until(client, 'app_limit_used{limit="streams"}', 0)
        model.release.set()
        assert (await client.post(CHAT, json=STREAMED)).status_code == 200
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "streams_full")
    assert float(refused.headers["retry-after-ms"]) > 0


async def test_one_caller_has_so_many_calls_in_flight_and_others_have_theirs(
    small: Full, keys: list[str]
) -> None:
    model, other = Holding(), {"authorization": f"Bearer {keys[1]}"}
    async with small(model, calls_per_caller=1) as client:
        async with in_flight(client, model, WHOLE):
            refused = await client.post(CHAT, json=WHOLE)
            others = asyncio.create_task(client.post(CHAT, json=WHOLE, headers=other))
            async with asyncio.timeout(30):
                await model.begun.acquire()
        assert (await others).status_code == 200
        assert (await client.post(CHAT, json=WHOLE)).status_code == 200
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_calls_in_flight"
    assert float(refused.headers["retry-after-ms"]) > 0
    assert int(refused.headers["x-ratelimit-limit-requests"]) > 0


@pytest.mark.parametrize("body", [WHOLE, STREAMED], ids=["whole", "streamed"])
async def test_a_client_that_leaves_gives_everything_back(
    small: Full, body: dict[str, object]
) -> None:
    model = Holding()
    async with small(model, max_requests=1, max_streams=1, calls_per_caller=1) as client:
        call = asyncio.create_task(client.post(CHAT, json=body))
        async with asyncio.timeout(30):
            await model.begun.acquire()
        call.cancel()
        await until(client, 'app_limit_used{limit="requests"}', 0)
        await until(client, 'app_limit_used{limit="streams"}', 0)
        model.release.set()
        assert (await client.post(CHAT, json=body)).status_code == 200


async def until(client: httpx.AsyncClient, name: str, value: float) -> None:
    async with asyncio.timeout(30):
        while await metric(client, name) != value:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def metric(client: httpx.AsyncClient, name: str) -> float:
    """Return one value of `GET /metrics`."""
    lines = (await client.get("/metrics")).text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))
