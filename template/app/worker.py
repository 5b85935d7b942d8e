"""The worker process: the same resources as the API, and jobs instead of requests.

Each worker claims its work from SQL. arq wakes it up and holds nothing: it may crash with Redis,
and the work here goes on.
"""

import asyncio
import logging
import random
import signal
from functools import partial
from typing import Any, cast

from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from engine.jobs.jobs import jobs
from engine.models.operations import operations
from engine.batches import lane_worker
from engine.jobs import runner
from engine.webhooks import sender
from engine.worker.pool import Pool
from engine.worker.probes import serving_probes
from engine.worker.pulse import Pulse
from engine.worker.reaper import sweep_for_ever
from engine.batches.turns import Holdings
from engine.slots.redis_semaphore import Priority
from app.resources.lifespan import Resources, open_resources
from engine.process.queue import (
    WAKE,
    Kind,
    RedisQueue,
    deserialize,
    serialize,
)
from engine.process.tasks import end_tasks
from engine.settings import Settings
from engine.watch.telemetry import configure_logging

log = logging.getLogger(__name__)

LONGEST_PAUSE = 30.0


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish or give back what is in flight and return.

    A second signal gives it back at once.
    """
    configure_logging(settings.log_level, as_json=settings.production)
    operations()  # imported before anything waits for the event loop
    jobs()
    stopping, over = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (over if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with open_resources(settings, Priority.BATCH) as resources:
        pulse = Pulse()
        async with serving_probes(resources, pulse):
            await work(resources, pulse, stopping, over)


async def work(
    resources: Resources, pulse: Pulse, stopping: asyncio.Event, over: asyncio.Event
) -> None:
    """Claim and do work of every kind until `stopping` is set, then come to an end.

    What is in flight then may go on until `over` is set, for `shutdown_grace` at most.
    """
    settings = resources.settings
    all_pools = pools(resources, stopping)
    helpers = [asyncio.create_task(sweep_for_ever(resources, pulse))]
    if isinstance(resources.queue, RedisQueue):
        helpers.append(asyncio.create_task(listen_for_ever(resources.queue, all_pools)))
    working = [asyncio.create_task(p.work(stopping, settings.sweep_seconds)) for p in all_pools]
    log.info("worker ready")
    await stopping.wait()
    log.info("stopping: what is in flight has %g s", settings.shutdown_grace)
    asyncio.get_running_loop().call_later(settings.shutdown_grace, over.set)
    await end_tasks(*helpers)
    for pool in all_pools:
        pool.wake()
    await asyncio.wait(working, timeout=settings.close_timeout)
    await end_tasks(*working)
    async with asyncio.TaskGroup() as finishing:
        for pool in all_pools:
            finishing.create_task(pool.finish(over, settings.close_timeout))


def pools(resources: Resources, stopping: asyncio.Event) -> list[Pool]:
    """Return a pool for each kind of work, so that no kind holds another up."""
    settings = resources.settings
    scheduled = partial(runner.claim, scheduled=True)
    lanes = partial(lane_worker.claim, resources, stopping, Holdings(resources))
    return [
        Pool(Kind.BATCHES, lanes, settings.worker_batches),
        Pool(Kind.JOBS, partial(runner.claim, resources, stopping), settings.worker_jobs),
        Pool(Kind.JOBS, partial(scheduled, resources, stopping), settings.scheduled_jobs),
        Pool(Kind.WEBHOOKS, partial(sender.claim, resources, stopping), settings.worker_jobs),
    ]


async def listen_for_ever(queue: RedisQueue, all_pools: list[Pool]) -> None:
    """Run arq's worker, again after growing pauses when it breaks: arq ends when Redis does."""
    failures = 0
    while True:
        listening = arq_worker(queue, all_pools)
        started = asyncio.get_running_loop().time()
        try:
            await listening.async_run()
        except Exception as error:  # noqa: BLE001 -- whatever broke it, it is started again
            log.warning("no wake-up calls from Redis: %r", error)
        finally:
            await _abandon(listening)
        lasted = asyncio.get_running_loop().time() - started
        failures = 0 if lasted > LONGEST_PAUSE else failures + 1
        pause = min(LONGEST_PAUSE, 0.2 * 2**failures)
        await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311


class Listener(Worker):
    """arq's worker, all of whose tasks are among its `tasks`.

    arq shields the end of a call from cancellation, in a task that it keeps nowhere. That task went
    on behind a pool of connections that was closed, opened one anew and left it open.
    """

    async def finish_job(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 -- arq's own
        """Note the task, and do as arq does."""
        self._note_task()
        await super().finish_job(*args, **options)

    async def finish_failed_job(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        """Note the task, and do as arq does."""
        self._note_task()
        await super().finish_failed_job(*args, **options)

    def _note_task(self) -> None:
        task = asyncio.current_task()
        assert task  # noqa: S101
        self.tasks[task.get_name()] = task


def arq_worker(queue: RedisQueue, all_pools: list[Pool]) -> Listener:
    """Return arq set to wake these pools up and to decide nothing."""

    async def wake(_context: dict[Any, Any], kind: str) -> None:
        for pool in all_pools:
            if pool.kind == kind:
                pool.wake()

    return Listener(
        [func(cast("WorkerCoroutine", wake), name=WAKE, max_tries=1, keep_result=0, timeout=10)],
        redis_pool=queue.arq,
        queue_name=queue.name,
        poll_delay=0.1,  # worst pick-up 100 ms, 0.5 % of a core while idle
        health_check_interval=5,
        handle_signals=False,
        retry_jobs=False,
        allow_abort_jobs=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )


async def _abandon(listening: Listener) -> None:
    main = [listening.main_task] if listening.main_task else []
    while left := [each for each in (*main, *listening.tasks.values()) if not each.done()]:
        await end_tasks(*left)  # during which a call may come to its end, in a new task
