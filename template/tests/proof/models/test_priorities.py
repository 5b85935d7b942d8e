"""A worker calls its model for batches, and online for a caller who waits for a job."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from app.resources.lifespan import open_resources
from engine.errors import ModelDown, ModelRateLimited, Overloaded
from engine.models.failover import FAILURES, CircuitOpenError
from engine.models.interface import Answer, ChatRequest, Progress, Usage
from engine.models.upstreams import Upstreams, open_upstreams
from engine.resources import model_for
from engine.slots.pools import provider_pools
from engine.slots.redis_semaphore import Priority
from tests.proof.models.asking import chat, settings, until
from tests.service import Service

pytestmark = pytest.mark.anyio

ONLINE, BATCH = Priority.ONLINE, Priority.BATCH
DOWN = "down"
"""A model that always fails."""


class Server:
    """A provider whose calls end one by one, when they are told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.running = self.most = 0
        self._end = asyncio.Semaphore(0)

    async def complete(self, request: ChatRequest, _so_far: Progress | None = None) -> Answer:
        self.asked.append(request.model)
        if request.model == DOWN:
            raise ModelDown("down on purpose", retry_after=0.0)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self._end.acquire()
        finally:
            self.running -= 1
        return Answer(b"{}", Usage())

    def end(self, calls: int = 1) -> None:
        for _ in range(calls):
            self._end.release()


opened: list[Server] = []


@asynccontextmanager
async def open_provider(*_args: object) -> AsyncIterator[Server]:
    """Yield a provider, and note it: the settings of these tests name this module."""
    opened.append(Server())
    yield opened[-1]


class Worker:
    """The providers of a worker without anything else."""

    def __init__(self, at: dict[Priority, Upstreams]) -> None:
        self.at = at
        self.server = opened[-1]
        self._calls: list[asyncio.Task[Answer]] = []

    async def ask(self, priority: Priority, model: str) -> Answer:
        return await self.at[priority].complete(chat(model, max_tokens=600), "caller")

    def begin(self, priority: Priority, model: str, calls: int = 1) -> None:
        self._calls += [asyncio.create_task(self.ask(priority, model)) for _ in range(calls)]

    def waiting(self, priority: Priority) -> int:
        return sum(slots.waiting for slots in self.at[priority].slots.values())

    async def end(self) -> None:
        self.server.end(len(self._calls))
        await asyncio.gather(*self._calls)


@asynccontextmanager
async def worker(redis: Redis | None = None, **values: object) -> AsyncIterator[Worker]:
    opened.clear()
    own = {"service_slug": f"priorities-{uuid4().hex}", "model_retries": 0, **values}
    configured = settings(model_provider=__name__, **own)
    unused = cast("Any", None)
    async with open_upstreams(configured, BATCH, unused, redis, unused) as at:
        yield Worker(at)


async def becomes(value: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Wait until `value()` is this one."""
    async with asyncio.timeout(30):
        while await value() != wanted:  # noqa: ASYNC110 -- asks what has no event
            await asyncio.sleep(0.005)


@pytest.fixture(params=["alone", "redis"])
async def shared(request: pytest.FixtureRequest, redis: Redis, patient: None) -> Redis | None:
    """A Redis for the slots, or none."""
    return None if request.param == "alone" else redis


async def test_an_online_call_of_a_worker_goes_before_its_batch_calls(shared: Redis | None) -> None:
    async with worker(shared, model_slots=1) as used:
        used.begin(BATCH, "first")
        await until(lambda: used.server.running)
        used.begin(BATCH, "second", calls=3)
        await until(lambda: used.waiting(BATCH) == 3)
        used.begin(ONLINE, "online")
        await until(lambda: used.waiting(ONLINE))
        if shared:
            await asyncio.sleep(0.1)  # until the news of it has come by Redis
        used.server.end()
        await until(lambda: len(used.server.asked) > 1)
        assert used.server.asked == ["first", "online"]
        await used.end()


async def test_both_priorities_of_a_worker_share_its_slots(shared: Redis | None) -> None:
    async with worker(shared, model_slots=4, model_slots_reserve=0.25) as used:
        used.begin(BATCH, "batch", calls=6)
        await until(lambda: used.server.running == 3)
        used.begin(ONLINE, "online", calls=6)
        await until(lambda: used.server.running == 4)
        await used.end()
        assert used.server.most == 4


async def test_an_online_call_of_a_worker_is_refused_where_it_would_wait_long(
    shared: Redis | None,
) -> None:
    async with worker(shared, model_slots=1, model_slot_wait=0.2) as used:
        used.begin(BATCH, "batch", calls=2)
        await until(lambda: used.server.running)
        with pytest.raises(Overloaded):
            await used.ask(ONLINE, "online")
        assert used.waiting(BATCH) == 1
        await used.end()


async def test_an_online_call_of_a_worker_is_refused_by_a_quota_that_batches_used_up() -> None:
    async with worker(model_tokens_per_minute=1000) as used:
        used.begin(BATCH, "batch")
        await until(lambda: used.server.running)
        with pytest.raises(ModelRateLimited, match="used up"):
            await used.ask(ONLINE, "online")
        await used.end()


@pytest.mark.parametrize(("priority", "calls"), [(ONLINE, 2), (BATCH, 1)])
async def test_a_call_is_tried_again_as_its_priority_is(priority: Priority, calls: int) -> None:
    async with worker(model_retries=1) as used:
        with pytest.raises(ModelDown):
            await used.ask(priority, DOWN)
        assert used.server.asked == [DOWN] * calls


@pytest.mark.parametrize(("failing", "refused"), [(BATCH, ONLINE), (ONLINE, BATCH)])
async def test_both_priorities_learn_from_one_circuit_breaker(
    failing: Priority, refused: Priority
) -> None:
    async with worker() as used:
        for _ in range(FAILURES):
            with pytest.raises(ModelDown):
                await used.ask(failing, DOWN)
        [upstream] = used.at[refused].able(chat(DOWN))
        with pytest.raises(CircuitOpenError):
            upstream.circuit_of(DOWN).check()


async def test_both_priorities_have_a_provider_that_is_opened_once() -> None:
    async with worker(model_fallbacks=[{"provider": __name__, "slots": 1}]):
        assert len(opened) == 2  # the first one and its fallback


async def test_only_batches_ask_the_server_of_batches() -> None:
    async with worker(batch_openai_base_url="http://batches/v1") as used:
        online, batch = opened
        online.end()
        batch.end()
        await used.ask(ONLINE, "online")
        await used.ask(BATCH, "batch")
        assert (online.asked, batch.asked) == (["online"], ["batch"])


def test_a_local_model_is_loaded_once_wherever_batches_of_openai_would_go() -> None:
    configured = settings(model_provider="local", batch_openai_base_url="http://batches/v1")
    online, batch = ([pool.name for pool in provider_pools(configured, each)] for each in Priority)
    assert online == batch


async def test_online_slots_of_a_worker_are_none_of_redis_before_their_first_call(
    redis: Redis, patient: None
) -> None:
    async with worker(redis, service_slug=(slug := f"lazy-{uuid4().hex}")) as used:
        key = "".join(("{", slug, ":slots:first-", __name__, "}"))

        async def known() -> tuple[int, int]:
            [(_, listeners)] = await redis.pubsub_numsub(f"{key}:news")
            return await redis.zcard(f"{key}:processes"), listeners

        used.begin(BATCH, "batch")
        await until(lambda: used.server.running == 1)
        await becomes(known, (1, 1))
        used.begin(ONLINE, "online")
        await until(lambda: used.server.running == 2)
        await becomes(known, (2, 2))
        await used.end()


async def test_slots_of_a_worker_are_told_by_priority_once_they_are_in_use(
    prepared: Service,
) -> None:
    body = chat("simulated-chat", max_tokens=1)
    async with open_resources(prepared.settings, BATCH) as resources:
        await model_for(resources, "caller").complete(body)
        assert set(resources.slots) == {("first-simulated", BATCH)}
        await model_for(resources, "caller", ONLINE).complete(body)
        assert set(resources.slots) == {("first-simulated", each) for each in Priority}
