"""The worker process: the same resources as the API, and jobs instead of requests.

Each worker claims its work from SQL. arq wakes it up and holds nothing: it may crash with Redis,
and the work here goes on.
"""

import asyncio
import logging
import signal
from contextlib import AbstractAsyncContextManager
from functools import partial

from engine.batches import lane_worker
from engine.batches.lane_worker import HeldLanes
from engine.jobs import runner
from engine.options import installed_options
from engine.process.queue import Kind, RedisQueue
from engine.process.tasks import end_tasks
from engine.resources import Resources
from engine.settings import Settings
from engine.watch.telemetry import configure_logging
from engine.webhooks import sender
from engine.worker.pool import Pool
from engine.worker.probes import Liveness, serving_probes
from engine.worker.reaper import reap_for_ever
from engine.worker.wake_up import listen_for_wake_ups

log = logging.getLogger(__name__)


async def run_worker(settings: Settings, opening: AbstractAsyncContextManager[Resources]) -> None:
    """Open the resources and work until SIGTERM or SIGINT, then finish the work in flight.

    Work that does not end within `shutdown_grace` is given back, on a second signal at once.
    """
    configure_logging(settings.log_level, as_json=settings.production)
    stopping, over = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        (over if stopping.is_set() else stopping).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    async with opening as resources:
        pulse = Liveness()
        async with serving_probes(resources, pulse):
            await work_until_stopped(resources, pulse, stopping, over)


async def work_until_stopped(
    resources: Resources, pulse: Liveness, stopping: asyncio.Event, over: asyncio.Event
) -> None:
    """Claim and do work of every kind until `stopping` is set, then come to an end.

    Work in flight may then go on until `over` is set, for `shutdown_grace` at most.
    """
    settings = resources.settings
    all_pools = open_pools(resources, stopping)
    helpers = [asyncio.create_task(reap_for_ever(resources, pulse))]
    if isinstance(resources.queue, RedisQueue):
        helpers.append(asyncio.create_task(listen_for_wake_ups(resources.queue, all_pools)))
    working = [asyncio.create_task(p.work(stopping, settings.sweep_seconds)) for p in all_pools]
    log.info("worker ready")
    await stopping.wait()
    log.info("stopping: work in flight has %g s to end", settings.shutdown_grace)
    asyncio.get_running_loop().call_later(settings.shutdown_grace, over.set)
    await end_tasks(*helpers)
    for pool in all_pools:
        pool.wake()
    await asyncio.wait(working, timeout=settings.close_timeout)
    await end_tasks(*working)
    async with asyncio.TaskGroup() as finishing:
        for pool in all_pools:
            finishing.create_task(pool.finish(over, settings.close_timeout))


def open_pools(resources: Resources, stopping: asyncio.Event) -> list[Pool]:
    """Return a pool for each kind of work, so that no kind holds another up."""
    settings = resources.settings
    claim_run = partial(runner.claim_run, resources, stopping)
    lanes = partial(lane_worker.claim_lane_run, resources, stopping, HeldLanes(resources))
    return [
        Pool(Kind.BATCHES, lanes, settings.worker_batches),
        Pool(Kind.JOBS, claim_run, settings.worker_jobs),
        Pool(Kind.JOBS, partial(claim_run, scheduled=True), settings.scheduled_jobs),
        *(
            Pool(kind, partial(claim_run, pool=kind), settings.worker_agents)
            for kind in (Kind.AGENTS, Kind.BACKGROUND_AGENTS)
            if resources.agents
        ),
        *(
            Pool(kind, partial(claim_run, pool=kind), slots)
            for option in installed_options().values()
            if option.pools
            for kind, slots in option.pools(settings).items()
        ),
        Pool(
            Kind.WEBHOOKS, partial(sender.claim_sending, resources, stopping), settings.worker_jobs
        ),
    ]
