"""GET /metrics of a worker: what the API tells of itself too, and how much work there is."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from app import metrics
from app.domain.backlog import depths
from app.errors import OpenError
from app.resources.gauges import CONTENT_TYPE, exposition
from app.resources.lifespan import Resources

log = logging.getLogger(__name__)


@asynccontextmanager
async def serving_metrics(resources: Resources) -> AsyncIterator[None]:
    """Serve them at `worker_metrics_port` on this event loop, where one is set.

    Whoever reaches the port may read. Raise `OpenError` where it cannot be listened on.
    """
    settings = resources.settings
    if not settings.worker_metrics_port:
        yield
        return

    async def load() -> bytes:
        await _tell_depths(resources)
        return exposition(resources)

    async def answer(_request: web.Request) -> web.Response:
        body = await resources.probes.get("metrics", load)
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, settings.host, settings.worker_metrics_port))
        yield
    finally:
        await runner.cleanup()  # asyncio cancels once


async def _tell_depths(resources: Resources) -> None:
    """Set the gauges of work from the database; where it does not answer, none."""
    metrics.queue.clear()
    metrics.oldest.clear()
    try:
        found = await resources.database.read(depths, resources.settings.lease_seconds)
    except Exception:
        log.exception("the depth of the queue cannot be read")
        return
    for depth in found:
        metrics.queue.labels(depth.work, "waiting").set(depth.waiting)
        metrics.queue.labels(depth.work, "running").set(depth.running)
        metrics.oldest.labels(depth.work).set(depth.oldest or 0.0)


async def _listen(site: web.TCPSite) -> None:
    try:
        await site.start()
    except OSError as error:
        raise OpenError(f"WORKER_METRICS_PORT cannot be opened: {error.strerror}") from error
