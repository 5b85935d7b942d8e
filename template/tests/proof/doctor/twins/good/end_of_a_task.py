"""A task's own end: whoever cancels it waits for it to end, and it does."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

app = FastAPI()
log = logging.getLogger(__name__)


async def pinging() -> None:
    """Ping until it is cancelled."""
    try:
        for _ in range(1000):
            await asyncio.sleep(1)
    except asyncio.CancelledError:
        log.info("no more pings")


@asynccontextmanager
async def pings() -> AsyncIterator[None]:
    """Ping meanwhile."""
    task = asyncio.create_task(pinging())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@app.get("/")
async def endpoint() -> str:
    """Ping while it works."""
    async with pings():
        await asyncio.sleep(0.1)
    return "done"
