"""The same in a function that is given to a thread."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def ask() -> str:
    """Ask another server."""
    await asyncio.sleep(1)
    return "answer"


def work() -> str:
    """Run a loop of its own."""
    return asyncio.new_event_loop().run_until_complete(ask())  # caught by doctor EX204


@app.get("/")
async def endpoint() -> str:
    """Work in a thread."""
    return await asyncio.to_thread(work)
