"""Slots: never too many, people first, and nothing is lost with a process or with Redis."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from app.settings import Settings
from engine.errors import ModelRateLimited, Overloaded
from engine.process.redis import open_redis
from engine.slots.pools import open_slots
from engine.slots.redis_semaphore import MOST, Priority, RedisSemaphore, Report
from engine.slots.semaphore import Limits, SlotSemaphore
from tests.servers import EmbeddedRedis, running

pytestmark = pytest.mark.anyio

ONLINE, BATCH = Priority.ONLINE, Priority.BATCH
LIMITS = Limits(slots=4, reserve=0.25, lease=30.0)
SHORT = replace(LIMITS, lease=1.0)
LATE = 3.0
"""A lease that a living process renews even where its event loop stands still for 2 s."""


class Calls:
    """Calls that hold a slot until `end`."""

    def __init__(self, slots: SlotSemaphore) -> None:
        self.slots = slots
        self.running = 0
        self.most = 0
        self.tasks: list[asyncio.Task[None]] = []
        self._ended = asyncio.Event()

    def begin(self, number: int, name: str = "ada") -> "Calls":
        self.tasks += [asyncio.create_task(self._call(name)) for _ in range(number)]
        return self

    async def end(self) -> None:
        self._ended.set()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _call(self, name: str) -> None:
        async with self.slots.slot("model", name):
            self.running += 1
            self.most = max(self.most, self.running)
            try:
                await self._ended.wait()
            finally:
                self.running -= 1


class Processes:
    """Processes that share a Redis, each with its own view of the slots."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self.stack = AsyncExitStack()

    async def start(
        self,
        priority: Priority,
        limits: Limits = LIMITS,
        online: SlotSemaphore | None = None,
        *,
        lazy: bool = False,
    ) -> SlotSemaphore:
        settings = Settings(_env_file=None, redis_url=self._url)
        redis = await self.stack.enter_async_context(open_redis(settings))
        return await self.stack.enter_async_context(
            open_slots("model", limits, priority, redis, self._name, online=online, lazy=lazy)
        )


@pytest.fixture
async def processes(redis_url: str, tmp_path: Path, patient: None) -> AsyncIterator[Processes]:
    started = Processes(redis_url, tmp_path.name)
    async with started.stack:
        yield started


async def until(holds: Callable[[], bool], limit: float = 30) -> None:
    async with asyncio.timeout(limit):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def lapsed() -> float:
    return REGISTRY.get_sample_value("app_model_slots_lapsed_total", {"pool": "model"}) or 0.0


async def settled() -> None:
    """Let all reports and news arrive that are on their way."""
    await asyncio.sleep(0.1)


async def refused_for(slots: SlotSemaphore) -> float:
    """Return the seconds after which a caller is told to ask again."""
    with pytest.raises(ModelRateLimited) as refused:
        async with slots.slot("model", "caller"):
            pass
    return refused.value.retry_after or 0.0


async def killed(redis: Redis, name: str, held: int) -> None:
    """Leave behind what a process held that was killed."""
    shared = RedisSemaphore(redis, f"{name}:slots:model", ONLINE, SHORT.lease)
    await shared.report(Report(held=held, waiting=0), LIMITS.slots, LIMITS.reserved)


async def test_all_processes_together_have_no_more_than_there_are(processes: Processes) -> None:
    calls = [Calls(await processes.start(ONLINE)).begin(5) for _ in range(3)]
    await until(lambda: sum(each.running for each in calls) == LIMITS.slots)
    await settled()
    assert sum(each.running for each in calls) == LIMITS.slots
    await asyncio.gather(*(each.end() for each in calls))
    assert sum(each.most for each in calls) >= LIMITS.slots


async def test_a_slot_that_is_given_back_is_anothers(processes: Processes) -> None:
    first = Calls(await processes.start(ONLINE)).begin(4)
    await until(lambda: first.running == 4)
    second = Calls(await processes.start(ONLINE)).begin(1)
    await settled()
    assert second.running == 0
    await first.end()
    await until(lambda: second.running == 1)
    await second.end()


async def test_batches_leave_the_reserve_free(processes: Processes) -> None:
    batch = Calls(await processes.start(BATCH)).begin(10)
    await until(lambda: batch.running == 3)
    await settled()
    assert batch.running == 3
    online = Calls(await processes.start(ONLINE)).begin(1)
    await until(lambda: online.running == 1)
    await batch.end()
    await online.end()


async def test_batches_get_nothing_while_an_online_caller_waits(processes: Processes) -> None:
    first = Calls(await processes.start(ONLINE)).begin(4)
    await until(lambda: first.running == 4)
    batch = Calls(await processes.start(BATCH)).begin(10)
    online = Calls(await processes.start(ONLINE)).begin(2)
    await settled()
    first.tasks[0].cancel()
    first.tasks[1].cancel()
    await until(lambda: online.running == 2)
    await settled()
    assert batch.running == 0
    await first.end()
    await online.end()
    await until(lambda: batch.running == 3)
    await batch.end()


async def test_processes_that_want_more_than_there_is_get_equal_parts(processes: Processes) -> None:
    limits = replace(LIMITS, slots=8)
    first = Calls(await processes.start(ONLINE, limits)).begin(50)
    await until(lambda: first.running == 8)
    second = Calls(await processes.start(ONLINE, limits)).begin(50)
    await settled()
    for task in first.tasks[:8]:
        task.cancel()
    await until(lambda: second.running >= 3)
    await until(lambda: first.running + second.running == 8)
    assert first.running >= 3
    await first.end()
    await second.end()


async def test_callers_of_one_process_take_turns(processes: Processes) -> None:
    slots = await processes.start(ONLINE)
    first = Calls(slots).begin(4)
    await until(lambda: first.running == 4)
    many, few = Calls(slots).begin(20, "ada"), Calls(slots).begin(1, "bob")
    await settled()
    await first.end()
    await until(lambda: many.running + few.running == 4)
    assert few.running == 1
    await many.end()
    await few.end()


async def test_slots_of_a_killed_process_are_free_after_its_lease(
    processes: Processes, redis: Redis, tmp_path: Path
) -> None:
    began = time.monotonic()
    await killed(redis, tmp_path.name, held=4)
    online = Calls(await processes.start(ONLINE)).begin(1)
    await until(lambda: online.running == 1)
    assert time.monotonic() - began > 0.9 * SHORT.lease
    await online.end()


async def test_a_living_process_keeps_its_slots_for_longer_than_a_lease(
    processes: Processes,
) -> None:
    limits = replace(LIMITS, lease=LATE)
    first = Calls(await processes.start(ONLINE, limits)).begin(4)
    await until(lambda: first.running == 4)
    second = Calls(await processes.start(ONLINE, limits)).begin(1)
    await asyncio.sleep(2 * limits.lease)
    assert second.running == 0
    await first.end()
    await second.end()


async def test_a_caller_who_gives_up_waiting_holds_nothing(processes: Processes) -> None:
    slots = await processes.start(ONLINE)
    first = Calls(slots).begin(4)
    await until(lambda: first.running == 4)
    waiting = Calls(slots).begin(1)
    await settled()
    waiting.tasks[0].cancel()
    await first.end()
    await until(lambda: (slots.held, slots.allowed, slots.waiting) == (0, 0, 0))


async def test_a_caller_cancelled_in_the_moment_of_its_turn_holds_nothing(
    processes: Processes,
) -> None:
    slots = await processes.start(ONLINE)
    for rounds in range(20):
        calls = Calls(slots).begin(4)
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in calls.tasks:
            task.cancel()
        await calls.end()
    await until(lambda: (slots.held, slots.allowed, slots.waiting) == (0, 0, 0))


async def test_an_online_caller_is_refused_after_its_longest_wait(processes: Processes) -> None:
    first = Calls(await processes.start(ONLINE)).begin(4)
    await until(lambda: first.running == 4)
    slots = await processes.start(ONLINE, replace(LIMITS, longest_wait=0.05))
    with pytest.raises(Overloaded):
        async with slots.slot("model", "caller"):
            pass
    await first.end()


async def test_once_a_queue_stands_who_has_waited_long_is_refused_for_those_behind(
    processes: Processes,
) -> None:
    first = Calls(await processes.start(ONLINE)).begin(4)
    await until(lambda: first.running == 4)
    slots = await processes.start(ONLINE, replace(LIMITS, longest_wait=2.0, target=1.2))
    served = Calls(slots)
    for _ in range(7):  # a queue that does not empty for longer than 2 s
        served.begin(1)
        await asyncio.sleep(0.4)
    await first.end()
    await until(lambda: slots.waiting == 0)
    refused = [call for call in served.tasks if call.done() and call.exception()]
    assert served.running >= 1
    assert len(refused) > 7 - served.running - 1
    await served.end()


async def test_a_batch_pauses_after_an_online_caller_had_waited_long(processes: Processes) -> None:
    limits = replace(LIMITS, batch_pause_wait=0.05)
    first = Calls(await processes.start(ONLINE, limits)).begin(4)
    await until(lambda: first.running == 4)
    second = Calls(await processes.start(ONLINE, limits)).begin(1)
    await settled()
    await first.end()
    await second.end()
    batch = Calls(await processes.start(BATCH, limits)).begin(1)
    await settled()
    assert batch.running == 0
    await until(lambda: batch.running == 1)
    await batch.end()


async def test_the_cap_shrinks_for_all_when_the_provider_has_too_much(processes: Processes) -> None:
    first, second = await processes.start(ONLINE), await processes.start(ONLINE)
    calls = Calls(first).begin(1)
    await until(lambda: calls.running == 1)
    first.overloaded("model")
    await until(lambda: first.cap == 2)
    others = Calls(second).begin(5)
    await until(lambda: others.running == 1)
    await settled()
    assert others.running == 1
    await calls.end()
    await others.end()


async def test_the_cap_grows_back_with_good_answers(processes: Processes) -> None:
    slots = await processes.start(ONLINE)
    slots.overloaded("model")
    await until(lambda: slots.cap == 2)

    async def answered() -> None:
        async with slots.slot("model", "caller"):
            slots.succeeded()

    async with asyncio.timeout(30):
        while slots.cap < LIMITS.slots:
            await answered()
            await asyncio.sleep(0.01)


async def test_a_paused_model_is_not_asked(processes: Processes) -> None:
    first, second = await processes.start(ONLINE), await processes.start(ONLINE)
    first.overloaded("model", pause=1.0)
    await settled()
    calls = Calls(second).begin(1)
    await settled()
    assert calls.running == 0
    await until(lambda: calls.running == 1)
    await calls.end()


async def test_an_online_caller_is_refused_before_a_long_pause(processes: Processes) -> None:
    slots = await processes.start(ONLINE)
    slots.overloaded("model", pause=50.0)
    await settled()
    assert 30 < await refused_for(slots) < 50


async def test_the_other_models_are_asked_on(processes: Processes) -> None:
    first, second = await processes.start(ONLINE), await processes.start(BATCH)
    first.overloaded("paused", pause=60.0)
    await settled()
    for slots in (first, second):
        async with asyncio.timeout(30), slots.slot("other", "caller"):
            pass


@pytest.mark.parametrize("pause", [604_800.0, math.inf, math.nan])
async def test_no_pause_is_longer_than_the_setting(processes: Processes, pause: float) -> None:
    slots = await processes.start(ONLINE, replace(LIMITS, longest_pause=20.0))
    slots.overloaded("model", pause)
    await settled()
    assert 10 < await refused_for(slots) < 20


async def test_a_pause_holds_where_there_is_no_redis() -> None:
    slots = SlotSemaphore("model", LIMITS, ONLINE)
    slots.overloaded("model", pause=50.0)
    assert await refused_for(slots) > 30


@pytest.mark.parametrize("model", ["model", None])
async def test_an_operator_lifts_a_pause_for_all_who_wait(
    processes: Processes, redis: Redis, tmp_path: Path, model: str | None
) -> None:
    limits = replace(LIMITS, lease=600.0)  # of which no renewal comes in time
    online, batch = await processes.start(ONLINE, limits), await processes.start(BATCH, limits)
    online.overloaded("model", pause=60.0)
    await settled()
    waiting = Calls(batch).begin(1)
    await settled()
    shared = RedisSemaphore(redis, f"{tmp_path.name}:slots:model", ONLINE, LIMITS.lease)
    assert await shared.resume("another") == []
    assert await shared.resume(model) == ["model"]
    await until(lambda: waiting.running == 1 and not online.pauses.left("model"))
    await waiting.end()


async def test_an_idle_process_hears_of_a_pause(processes: Processes) -> None:
    first, idle = await processes.start(ONLINE), await processes.start(ONLINE, SHORT)
    first.overloaded("model", pause=60.0)
    await until(lambda: idle.pauses.left("model") > 0)


async def test_the_names_of_callers_fill_neither_redis_nor_a_process(
    processes: Processes, redis: Redis, tmp_path: Path
) -> None:
    slots = await processes.start(ONLINE)
    for number in range(2 * MOST):
        slots.overloaded(f"model {number}", pause=20.0 + number / 10)
        if number % 50 == 0:
            await settled()
    await settled()
    key = "{" + f"{tmp_path.name}:slots:model" + "}:pauses"
    assert await redis.zcard(key) == len(slots.pauses.all()) == MOST
    assert slots.pauses.left(f"model {2 * MOST - 1}")
    assert 0 < await redis.pttl(key) <= 60_000


async def test_held_slots_are_known_again_after_redis_was_wiped(
    processes: Processes, redis: Redis
) -> None:
    limits, before = replace(LIMITS, lease=LATE), lapsed()
    first = Calls(await processes.start(ONLINE, limits)).begin(4)
    await until(lambda: first.running == 4)
    await redis.flushall()
    await until(lambda: lapsed() >= before + 4)  # it has reported anew
    second = Calls(await processes.start(ONLINE, limits)).begin(1)
    await settled()
    assert second.running == 0
    await first.end()
    await second.end()


async def test_slots_in_use_whose_lease_was_lost_are_counted(
    processes: Processes, redis: Redis
) -> None:
    calls = Calls(await processes.start(ONLINE, SHORT)).begin(4)
    await until(lambda: calls.running == 4)
    before = lapsed()
    await redis.flushall()
    await until(lambda: lapsed() >= before + 4)
    await calls.end()


@pytest.mark.parametrize("fault", ["gone", "frozen"])
@pytest.mark.parametrize(("priority", "alone", "together"), [(ONLINE, 2, 4), (BATCH, 0, 3)])
async def test_without_redis_people_have_half_of_the_slots_and_batches_wait(
    tmp_path: Path, fault: str, priority: Priority, alone: int, together: int
) -> None:
    server = EmbeddedRedis(tmp_path)
    with running(server):
        processes = Processes(server.url, tmp_path.name)
        async with processes.stack:
            slots = await processes.start(priority, SHORT)
            server.stop() if fault == "gone" else server.freeze()
            calls = Calls(slots).begin(6)
            await until(lambda: calls.running == alone)
            await settled()
            assert calls.running == alone
            server.start() if fault == "gone" else server.thaw()
            await until(lambda: calls.running == together)
            await calls.end()


@pytest.mark.parametrize(("priority", "slots"), [(ONLINE, 4), (BATCH, 3)])
async def test_a_service_without_redis_has_its_slots_to_itself(
    priority: Priority, slots: int
) -> None:
    calls = Calls(SlotSemaphore("model", LIMITS, priority)).begin(6)
    await until(lambda: calls.running == slots)
    await asyncio.sleep(0)
    assert calls.running == slots
    await calls.end()


async def test_online_calls_and_batches_of_a_service_without_redis_share_its_slots() -> None:
    online = Calls(SlotSemaphore("model", LIMITS, ONLINE))
    batch = Calls(SlotSemaphore("model", LIMITS, BATCH, online=online.slots)).begin(6)
    await until(lambda: batch.running == 3)
    online.begin(6)
    await until(lambda: online.running == 1)
    await settled()
    assert (online.running, batch.running) == (1, 3)
    batch.tasks[0].cancel()
    await until(lambda: (online.running, batch.running) == (2, 2))
    await online.end()
    await until(lambda: batch.running == 3)
    await batch.end()


async def test_online_calls_without_redis_go_before_batches_that_leave_no_reserve() -> None:
    limits = replace(LIMITS, reserve=0.0)
    online = Calls(SlotSemaphore("model", limits, ONLINE))
    batch = Calls(SlotSemaphore("model", limits, BATCH, online=online.slots)).begin(6)
    await until(lambda: batch.running == 4)
    online.begin(1)
    await until(lambda: online.slots.waiting == 1)
    batch.tasks[0].cancel()
    await until(lambda: batch.running == 3)
    assert online.running == 1
    await batch.end()
    await online.end()


@pytest.mark.parametrize("asked", [ONLINE, BATCH])
async def test_a_pause_without_redis_holds_at_both_priorities(asked: Priority) -> None:
    online = SlotSemaphore("model", LIMITS, ONLINE)
    batch = SlotSemaphore("model", LIMITS, BATCH, online=online)
    (online if asked is ONLINE else batch).overloaded("model", pause=50.0)
    assert min(online.pauses.left("model"), batch.pauses.left("model")) > 30


async def test_the_first_online_call_of_a_worker_while_redis_is_away_knows_of_other_processes(
    tmp_path: Path,
) -> None:
    server = EmbeddedRedis(tmp_path)
    with running(server):
        processes = Processes(server.url, tmp_path.name)
        async with processes.stack:
            online = await processes.start(ONLINE, SHORT, lazy=True)
            batches = [
                await processes.start(BATCH, SHORT, online=online),
                await processes.start(BATCH),
            ]
            await until(lambda: batches[0].processes == 2)
            server.stop()
            calls = Calls(online).begin(3)
            await until(lambda: calls.running == 1)
            await settled()
            assert calls.running == 1
            await calls.end()
