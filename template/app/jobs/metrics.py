"""GET /metrics of a worker: what the API tells of itself on its own port."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from app.errors import OpenError
from app.resources.gauges import CONTENT_TYPE, exposition
from app.resources.lifespan import Resources


@asynccontextmanager
async def serving_metrics(resources: Resources) -> AsyncIterator[None]:
    """Serve them at `worker_metrics_port` on this event loop, where one is set.

    Whoever reaches the port may read. Raise `OpenError` where it cannot be listened on.
    """
    settings = resources.settings
    if not settings.worker_metrics_port:
        yield
        return

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(resources), headers={"content-type": CONTENT_TYPE})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, settings.host, settings.worker_metrics_port))
        yield
    finally:
        await runner.cleanup()  # noqa: ASYNC102 -- asyncio cancels once


async def _listen(site: web.TCPSite) -> None:
    try:
        await site.start()
    except OSError as error:
        raise OpenError(f"WORKER_METRICS_PORT cannot be opened: {error.strerror}") from error
