"""The behaviour of arq 0.28 that the engine relies on: an update that changes it turns red.

arq holds nothing here that may be lost, so most of this pins that its failures stay small. Each
docstring says who relies on it.
"""

import asyncio
import os
import pickle
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from redis.asyncio import Redis, UnixDomainSocketConnection
from redis.exceptions import RedisError

from app.settings import Settings
from engine.operate.dev import valkey
from engine.process.queue import (
    WAKE,
    Kind,
    RedisQueue,
    deserialize,
)
from engine.process.redis import open_redis
from engine.process.tasks import end_tasks
from engine.worker.pool import Pool
from engine.worker.wake_up import MOST_PASSED_ON, Listener, _abandon, arq_worker
from tests.service import LIMIT

pytestmark = pytest.mark.anyio


class Woken:
    """Stands for a pool: counts its calls."""

    def __init__(self, kind: Kind = Kind.BATCHES) -> None:
        self.kind = kind
        self.calls = 0
        self.full = False

    def wake(self) -> None:
        self.calls += 1


class Broken(Woken):
    """A pool that cannot be woken."""

    def wake(self) -> None:
        super().wake()
        raise RuntimeError("broken on purpose")


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(Settings(_env_file=None, redis_url=redis_url)) as opened:
        yield opened


@pytest.fixture
def queue(redis: Redis, tmp_path: Path) -> RedisQueue:
    return RedisQueue(redis, tmp_path.name)


def new_worker(queue: RedisQueue, *pools: Woken) -> Listener:
    """Return arq as the app sets it up."""
    return arq_worker(queue, cast("list[Pool]", list(pools)))


@asynccontextmanager
async def listening(queue: RedisQueue, *pools: Woken) -> AsyncIterator[Listener]:
    """Run arq as the app does, and end it as the app does."""
    worker = new_worker(queue, *pools)
    running = asyncio.create_task(worker.async_run())
    try:
        yield worker
    finally:
        await _abandon(worker)
        await end_tasks(running)


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not holds():  # noqa: ASYNC110 -- there is no event to wait for
            await asyncio.sleep(0.01)


async def until_empty(queue: RedisQueue) -> None:
    """Wait for the end of the calls, which comes after what they call."""
    async with asyncio.timeout(LIMIT):
        while await queue.arq.zcard(queue.name):  # noqa: ASYNC110 -- nor here
            await asyncio.sleep(0.01)


async def still_wakes(queue: RedisQueue, pool: Woken) -> None:
    """Wake twice: what ends a worker is seen at the poll after it."""
    for _ in range(2):
        calls = pool.calls
        await queue.wake(pool.kind)
        await until(lambda calls=calls: pool.calls > calls)  # type: ignore[misc]


async def enqueue(queue: RedisQueue, name: str = WAKE) -> str:
    """Return the id of a new call."""
    job = await queue.arq.enqueue_job(name, Kind.BATCHES)
    assert job
    return job.job_id


async def test_each_call_reaches_one_of_the_workers(queue: RedisQueue) -> None:
    """More would only cost a look into SQL; none would cost a tick."""
    first, second = Woken(), Woken()
    async with listening(queue, first), listening(queue, second):
        for _ in range(30):
            await queue.wake(Kind.BATCHES)
        await until(lambda: first.calls + second.calls >= 30)
        await until_empty(queue)
    assert first.calls + second.calls == 30


async def test_a_call_wakes_the_pools_of_its_kind(queue: RedisQueue) -> None:
    """Jobs and scheduled jobs are two pools of one kind."""
    jobs, scheduled, batches = Woken(Kind.JOBS), Woken(Kind.JOBS), Woken(Kind.BATCHES)
    async with listening(queue, jobs, scheduled, batches):
        await queue.wake(Kind.JOBS)
        await until(lambda: jobs.calls)
    assert (jobs.calls, scheduled.calls, batches.calls) == (1, 1, 0)


async def test_a_full_worker_passes_a_call_on_a_few_times(queue: RedisQueue) -> None:
    """Another worker may have room; where none has, the call comes to an end."""
    pool = Woken()
    pool.full = True
    async with listening(queue, pool):
        await queue.wake(Kind.BATCHES)
        await until(lambda: pool.calls > MOST_PASSED_ON)
        await until_empty(queue)
    assert pool.calls == 1 + MOST_PASSED_ON


async def test_a_call_waits_for_a_worker(queue: RedisQueue) -> None:
    """What was submitted during a deploy is begun when the first worker is up."""
    pool = Woken()
    await queue.wake(Kind.BATCHES)
    async with listening(queue, pool):
        await until(lambda: pool.calls)


async def test_a_call_is_picked_up_within_a_few_polls(queue: RedisQueue) -> None:
    """The delay between polls is the price of a queue in Redis, and the only one."""
    pool, waits = Woken(), []
    async with listening(queue, pool) as worker:
        for number in range(5):
            started = asyncio.get_running_loop().time()
            await queue.wake(Kind.BATCHES)
            await until(lambda expected=number + 1: pool.calls == expected)  # type: ignore[misc]
            waits.append(asyncio.get_running_loop().time() - started)
    assert min(waits) < 3 * worker.poll_delay_s


async def test_queues_are_apart(redis: Redis, tmp_path: Path) -> None:
    """Several services share one Redis, each with a name of its own."""
    mine = RedisQueue(redis, f"{tmp_path.name}-mine")
    other = RedisQueue(redis, f"{tmp_path.name}-other")
    my_pool, other_pool = Woken(), Woken()
    async with listening(mine, my_pool), listening(other, other_pool):
        await mine.wake(Kind.BATCHES)
        await until(lambda: my_pool.calls)
    assert other_pool.calls == 0


async def test_a_call_leaves_nothing_behind(queue: RedisQueue) -> None:
    """Calls carry nothing and are made by the thousand: `keep_result=0`."""
    pool = Woken()
    call = await enqueue(queue)
    async with listening(queue, pool):
        await until(lambda: pool.calls)
        await until_empty(queue)
    assert await queue.arq.keys(f"arq:*{call}*") == []


async def test_a_call_crosses_as_message_pack(queue: RedisQueue) -> None:
    """arq would use pickle by itself."""
    call = await enqueue(queue)
    data = await queue.arq.get(job_key_prefix + call)
    assert data
    assert deserialize(data)["f"] == WAKE


TRACES: list[str] = []


def leave_trace(trace: str) -> None:
    TRACES.append(trace)


async def test_pickled_code_is_not_run(queue: RedisQueue) -> None:
    """Who can write to Redis must not be able to run code in a worker, nor to end it."""
    pool = Woken()

    class Attack:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return leave_trace, ("here",)

    call = await enqueue(queue)
    await queue.arq.set(job_key_prefix + call, pickle.dumps({"f": Attack()}))
    async with listening(queue, pool):
        await still_wakes(queue, pool)
    assert TRACES == []


async def test_an_unknown_function_does_no_harm(queue: RedisQueue) -> None:
    """While a deploy goes on, a newer process may call what an older one does not have."""
    pool = Woken()
    async with listening(queue, pool):
        await enqueue(queue, "of_tomorrow")
        await still_wakes(queue, pool)


async def test_a_function_that_fails_is_called_once_and_ends_nobody(queue: RedisQueue) -> None:
    """A failure must not come back for ever: the pool looks by itself soon enough."""
    pool = Broken()
    async with listening(queue, pool):
        await still_wakes(queue, pool)
        await until_empty(queue)
    assert pool.calls == 2


async def test_a_call_of_a_dead_worker_waits_for_the_end_of_its_mark(queue: RedisQueue) -> None:
    """So the ticks of the pools, and not arq, find soon what a dead worker was called for."""
    pool = Woken()
    marked = await enqueue(queue)
    await queue.arq.psetex(in_progress_key_prefix + marked, 60_000, b"1")
    async with listening(queue, pool) as worker:
        assert worker.in_progress_timeout_s == 20
        await still_wakes(queue, pool)
    assert pool.calls == 2
    assert await queue.arq.zscore(queue.name, marked)


async def test_a_call_of_a_dead_worker_is_dropped_at_last(queue: RedisQueue) -> None:
    """With `max_tries=1` it is not even made then: it could only come late."""
    pool = Woken()
    tried = await enqueue(queue)
    await queue.arq.set(retry_key_prefix + tried, 1)
    async with listening(queue, pool):
        await still_wakes(queue, pool)
        await until_empty(queue)
    assert pool.calls == 2


async def test_signals_are_left_to_the_app(queue: RedisQueue) -> None:
    """`handle_signals=False`: the app's own handler stops the pools, and arq last."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    pool = Woken()
    try:
        async with listening(queue, pool):
            await queue.wake(Kind.BATCHES)
            await until(lambda: pool.calls)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stopping.wait(), LIMIT)
            await queue.wake(Kind.BATCHES)
            await until(lambda: pool.calls == 2)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def test_cancelled_tasks_are_all_there_is_to_end(queue: RedisQueue) -> None:
    """`_abandon` cancels `main_task` and `tasks`: nothing may go on behind them."""
    before = asyncio.all_tasks()
    pool = Woken()
    async with listening(queue, pool):
        await queue.wake(Kind.BATCHES)
        await until(lambda: pool.calls)
    assert asyncio.all_tasks() == before


class Server:
    """A Redis of one test's own, which may be killed and comes back empty."""

    def __init__(self, folder: Path) -> None:
        self.url = f"unix://{folder / 'redis.sock'}"
        command = valkey.command(valkey.find_server(), folder, folder / "redis.sock")
        self._command = [*command, "--appendonly", "no"]

    async def start(self, redis: Redis) -> None:
        self._process = subprocess.Popen(  # noqa: ASYNC220 -- returns at once
            self._command, stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(LIMIT):
            while True:
                with suppress(RedisError):
                    await redis.ping()
                    return

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Freezing(Woken):
    """A pool that freezes Redis when it is woken: the call does not come to its end."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def wake(self) -> None:
        self._server.freeze()
        super().wake()


@pytest.fixture
async def mortal(tmp_path: Path) -> AsyncIterator[tuple[Server, RedisQueue]]:
    """A Redis, and the queue on it."""
    server = Server(tmp_path)
    async with open_redis(Settings(_env_file=None, redis_url=server.url)) as redis:
        await server.start(redis)
        try:
            yield server, RedisQueue(redis, tmp_path.name)
        finally:
            server.kill()


async def test_wiped_calls_are_lost_and_the_worker_lives_on(
    mortal: tuple[Server, RedisQueue],
) -> None:
    """Nobody is told of it, so nothing but a wake-up may be in Redis."""
    _, queue = mortal
    pool = Woken()
    await queue.wake(Kind.BATCHES)
    await queue.arq.flushall()
    async with listening(queue, pool):
        await still_wakes(queue, pool)
        await queue.arq.flushall()
        await still_wakes(queue, pool)
    assert pool.calls == 4


async def test_a_call_that_is_at_its_end_goes_on_behind_nobody(
    mortal: tuple[Server, RedisQueue],
) -> None:
    """arq shields that end. Behind a closed pool it opened a connection anew, and left it open."""
    server, queue = mortal
    before = asyncio.all_tasks()
    pool = Freezing(server)
    async with listening(queue, pool):
        await queue.wake(Kind.BATCHES)
        await until(lambda: pool.calls)
    assert asyncio.all_tasks() == before


class Unwatching(UnixDomainSocketConnection):
    """A connection that waits for an answer to UNWATCH until it is cancelled."""

    waits: ClassVar[asyncio.Event]

    async def send_command(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- redis-py's
        if args == ("UNWATCH",):
            self.waits.set()
        else:
            await super().send_command(*args, **options)


async def test_a_worker_that_ends_while_it_gives_a_call_up_gives_its_connection_back(
    redis: Redis, tmp_path: Path
) -> None:
    """Another worker was faster, so arq gives its transaction up: redis-py then awaits UNWATCH."""
    Unwatching.waits = asyncio.Event()
    redis.connection_pool.connection_class = Unwatching
    queue = RedisQueue(redis, tmp_path.name)
    call = await enqueue(queue)
    await queue.arq.psetex(in_progress_key_prefix + call, 60_000, b"1")
    async with listening(queue, Woken()):
        await asyncio.wait_for(Unwatching.waits.wait(), LIMIT)
    assert not redis.connection_pool._in_use_connections


async def test_a_queue_ends_with_redis_and_begins_again(mortal: tuple[Server, RedisQueue]) -> None:
    """So `listen_for_ever` is needed, and enough: a new worker on the same pool of connections."""
    server, queue = mortal
    pool = Woken()
    worker = new_worker(queue, pool)
    running = asyncio.create_task(worker.async_run())
    await queue.wake(Kind.BATCHES)
    await until(lambda: pool.calls)
    server.kill()
    with pytest.raises((RedisError, OSError)):
        await asyncio.wait_for(running, LIMIT)
    await _abandon(worker)
    await server.start(cast("Any", queue.arq))
    async with listening(queue, pool):
        await queue.wake(Kind.BATCHES)
        await until(lambda: pool.calls == 2)
