"""HTTP probes of a worker: liveness, readiness and metrics."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from aiohttp import web
from sqlalchemy.orm import Session

from engine.errors import OpenError
from engine.resources import Resources
from engine.views.backlog import Approvals, Depth, approvals, depths, oldest_snapshot
from engine.views.gauges import CONTENT_TYPE, exposition
from engine.watch import metrics


class Liveness:
    """Time since the worker's last sweep, and since its last successful one."""

    def __init__(self) -> None:
        self._tried_at = self._swept_at = time.monotonic()

    def tried(self, *, well: bool) -> None:
        """Note that a sweep has ended, well or by an error."""
        self._tried_at = time.monotonic()
        if well:
            self._swept_at = self._tried_at

    @property
    def silence(self) -> float:
        """The seconds since the last sweep ended, well or by an error."""
        return time.monotonic() - self._tried_at

    @property
    def failing(self) -> float:
        """The seconds since a sweep ended well."""
        return time.monotonic() - self._swept_at


log = logging.getLogger(__name__)

TURNS = 8
"""A sweep is three transactions, each of which waits for its turn and then runs; two to spare."""


@asynccontextmanager
async def serving_probes(resources: Resources, pulse: Liveness) -> AsyncIterator[None]:
    """Serve the probes at `worker_metrics_port` on this event loop, where a port is set.

    `/live` fails where no sweep has ended for longer than one can take: restart the worker then.
    `/ready` fails where no sweep has ended well for a lease: the worker then holds nothing any
    more. Any client that reaches the port may read. Raise `OpenError` where the port cannot be
    listened on.
    """
    settings = resources.settings
    if not settings.worker_metrics_port:
        yield
        return

    async def live(_request: web.Request) -> web.Response:
        stuck = pulse.silence > settings.sweep_seconds + TURNS * settings.database_timeout
        return _state("stuck" if stuck else "alive", well=not stuck)

    async def ready(_request: web.Request) -> web.Response:
        well = pulse.failing <= settings.sweep_seconds + settings.lease_seconds
        return _state("ready" if well else "unavailable", well=well)

    async def load() -> bytes:
        await _tell_depths(resources)
        return exposition(resources)

    async def tell_metrics(_request: web.Request) -> web.Response:
        body = await resources.probes.get("metrics", load)
        return web.Response(body=body, headers={"content-type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/live", live)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", tell_metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, settings.host, settings.worker_metrics_port))
        yield
    finally:
        await runner.cleanup()  # asyncio cancels once


def _state(status: str, *, well: bool) -> web.Response:
    return web.json_response({"status": status}, status=200 if well else 503)


async def _tell_depths(resources: Resources) -> None:
    """Set the gauges of work from the database; without an answer, clear them."""
    metrics.queue.clear()
    metrics.oldest.clear()
    metrics.approvals.clear()
    metrics.oldest_approval.clear()
    try:
        read = partial(resources.database.read, _look, resources.settings.lease_seconds)
        found, waiting, snapshot = await resources.depths.get("depths", read)
    except Exception:
        log.exception("the depth of the queue cannot be read")
        return
    for depth in found:
        metrics.queue.labels(depth.work, "waiting").set(depth.waiting)
        metrics.queue.labels(depth.work, "running").set(depth.running)
        metrics.oldest.labels(depth.work).set(depth.oldest or 0.0)
    for each in waiting:
        metrics.approvals.labels(each.agent).set(each.waiting)
        metrics.oldest_approval.labels(each.agent).set(each.oldest)
    metrics.snapshot.set(snapshot or 0.0)


def _look(
    session: Session, lease_seconds: float
) -> tuple[list[Depth], list[Approvals], float | None]:
    return depths(session, lease_seconds), approvals(session), oldest_snapshot(session)


async def _listen(site: web.TCPSite) -> None:
    try:
        await site.start()
    except OSError as error:
        raise OpenError(f"WORKER_METRICS_PORT cannot be opened: {error.strerror}") from error
