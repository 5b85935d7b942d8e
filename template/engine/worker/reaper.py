"""Reaper: sweeps for expired leases of dead workers, late work and jobs that are due."""

import asyncio
import logging

from engine.resources import Resources
from engine.work import workers
from engine.work.workers import Worker
from engine.worker import recovery, schedules
from engine.worker.pulse import Liveness

log = logging.getLogger(__name__)


async def reap_for_ever(resources: Resources, pulse: Liveness) -> None:
    """Sweep every `sweep_seconds`. Every worker does: a sweep is idempotent and needs no leader."""
    seconds, write = resources.settings.sweep_seconds, resources.database.write
    worker = Worker()
    try:
        while True:
            try:
                await write(workers.sign_in, worker)
                await sweep(resources)
                pulse.tried(well=True)
            except Exception:
                pulse.tried(well=False)
                log.exception("a sweep failed; the next one is in %s s", seconds)
            await asyncio.sleep(seconds)
    finally:
        await write(workers.sign_off, worker)


async def sweep(resources: Resources) -> None:
    """Put lost work back, end late work, submit due jobs."""
    settings, write = resources.settings, resources.database.write
    await write(
        recovery.recover, lease_seconds=settings.lease_seconds, most_crashes=settings.batch_crashes
    )
    await write(schedules.start_due, resources.jobs.values())
