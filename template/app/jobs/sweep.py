"""Looks, again and again, for work that nobody does, and tells a worker of it."""

import asyncio
import logging

from app.domain import recovery
from app.resources.lifespan import Resources
from app.resources.queue import JobName

log = logging.getLogger(__name__)


async def sweep_for_ever(resources: Resources) -> None:
    """Sweep every `sweep_seconds`. Every worker does: a sweep is idempotent and needs no leader."""
    while True:
        try:
            await sweep(resources)
        except Exception:
            log.exception(
                "a sweep failed; the next one is in %s s", resources.settings.sweep_seconds
            )
        await asyncio.sleep(resources.settings.sweep_seconds)


async def sweep(resources: Resources) -> None:
    """Recover what is lost and wake workers up for it."""
    settings = resources.settings
    deliveries = await resources.database.write(
        recovery.recover,
        lease_seconds=settings.lease_seconds,
        most_crashes=settings.batch_crashes,
    )
    for batch_id, lane, generation in deliveries:
        await resources.queue.wake(JobName.RUN_BATCH, batch_id, lane, generation)
