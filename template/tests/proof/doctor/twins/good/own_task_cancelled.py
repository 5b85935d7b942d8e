"""Waiting for the end of a task that this function itself has cancelled."""

import asyncio
from contextlib import suppress

from fastapi import FastAPI

app = FastAPI()


async def pinging() -> None:
    """Ping for a while."""
    for _ in range(1000):
        await asyncio.sleep(1)


@app.get("/")
async def endpoint() -> str:
    """Ping while it works."""
    pings = asyncio.create_task(pinging())
    await asyncio.sleep(0.1)
    pings.cancel()
    with suppress(asyncio.CancelledError):
        await pings
    return "done"
