"""A task that goes on when it is cancelled: a shutdown waits for it until it is killed."""

import asyncio
import logging

from fastapi import FastAPI

app = FastAPI()
log = logging.getLogger(__name__)
running: set[asyncio.Task[None]] = set()


async def pinging() -> None:
    """Ping for ever, whatever happens."""
    for _ in range(1000):
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:  # caught by doctor EX201
            log.info("cancelled, and pinging on")


@app.get("/")
async def endpoint() -> str:
    """Begin to ping."""
    task = asyncio.create_task(pinging())
    running.add(task)
    task.add_done_callback(running.discard)
    return "done"
