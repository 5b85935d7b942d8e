"""Tasks that somebody keeps until they are done."""

import asyncio

from fastapi import FastAPI

app = FastAPI()
running: set[asyncio.Task[None]] = set()


async def notify() -> None:
    """Tell somebody."""
    await asyncio.sleep(0.1)


@app.post("/")
async def endpoint() -> str:
    """Answer at once."""
    task = asyncio.create_task(notify())
    running.add(task)
    task.add_done_callback(running.discard)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(notify())
    return "accepted"
