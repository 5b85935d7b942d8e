"""The worker process: the same resources as the API, and jobs instead of requests.

arq wakes it up and holds nothing: it may crash with Redis, and the jobs here go on.
"""

import asyncio
import logging
import random
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from arq.worker import Worker, func

from app.jobs.batches import run_batch
from app.jobs.sweep import sweep_for_ever
from app.resources.lifespan import Resources, open_resources
from app.resources.queue import JobName, deserialize, serialize
from app.resources.tasks import end_tasks
from app.settings import Settings
from app.telemetry import configure_logging, request_id

log = logging.getLogger(__name__)

Job = Callable[..., Coroutine[Any, Any, None]]

JOBS: dict[JobName, Job] = {JobName.RUN_BATCH: run_batch}
"""Every job by the name that Redis knows it by: `job(resources, stopping, *ids)`."""

JOB_SECONDS = 7 * 86_400
"""arq ends a job that takes longer. Leases in SQL decide much sooner whether one still lives."""

LONGEST_PAUSE = 30.0


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then finish or give back what is in flight and return."""
    configure_logging(settings.log_level, as_json=settings.production)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with open_resources(settings) as resources:
        jobs = Jobs(resources, stopping)
        helpers = [
            asyncio.create_task(sweep_for_ever(resources)),
            asyncio.create_task(listen_for_ever(resources, jobs)),
        ]
        log.info("worker ready")
        await stopping.wait()
        await end_tasks(*helpers)
        await jobs.finish(settings.shutdown_grace, settings.close_timeout)


class Jobs:
    """The jobs of this process. They live on when arq, which started them, breaks with Redis."""

    def __init__(self, resources: Resources, stopping: asyncio.Event) -> None:
        self._resources = resources
        self._stopping = stopping
        self._running: set[asyncio.Task[None]] = set()

    def entry(self, name: str, job: Job) -> Job:
        """Return the function that arq calls for `job`."""

        async def start(_context: dict[Any, Any], *ids: str | int) -> None:
            task = asyncio.create_task(self._run(name, job, ids))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            await asyncio.shield(task)

        return start

    async def finish(self, grace: float, patience: float) -> None:
        """Wait `grace` seconds for the jobs to come to a good place, then end them.

        What they held they give back, for which they have `patience` seconds.
        """
        if self._running:
            await asyncio.wait(self._running, timeout=grace)
        await end_tasks(*self._running, patience=patience)

    async def _run(self, name: str, job: Job, ids: tuple[str | int, ...]) -> None:
        request_id.set(":".join([name, *map(str, ids)]))
        try:
            await job(self._resources, self._stopping, *ids)
        except Exception:
            log.exception("job failed; the sweep will find what it left")


async def listen_for_ever(resources: Resources, jobs: Jobs) -> None:
    """Run arq's worker, again after growing pauses when it breaks: arq ends when Redis does."""
    failures = 0
    while True:
        listening = arq_worker(resources, jobs)
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


def arq_worker(resources: Resources, jobs: Jobs) -> Worker:
    """Return arq set to wake up and to decide nothing: tries, results and aborts are SQL's."""
    return Worker(
        [
            func(jobs.entry(name, job), name=name, max_tries=1, keep_result=0, timeout=JOB_SECONDS)
            for name, job in JOBS.items()
        ],
        redis_pool=resources.queue.arq,
        queue_name=resources.queue.name,
        max_jobs=resources.settings.worker_jobs,
        poll_delay=0.1,  # worst pick-up 100 ms, 0.5 % of a core while idle
        queue_read_limit=10_000,  # jobs that run stay in the queue; arq would not look past 100
        health_check_interval=5,
        handle_signals=False,
        retry_jobs=False,
        allow_abort_jobs=False,
        job_serializer=serialize,
        job_deserializer=deserialize,
        log_results=False,
    )


async def _abandon(listening: Worker) -> None:
    main = [listening.main_task] if listening.main_task else []
    await end_tasks(*main, *listening.tasks.values())
