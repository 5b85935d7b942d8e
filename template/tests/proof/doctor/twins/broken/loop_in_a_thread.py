"""A second event loop in a thread: what belongs to the first one fails there."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def ask() -> str:
    """Ask another server."""
    await asyncio.sleep(1)
    return "answer"


@app.get("/")
def endpoint() -> str:
    """Run a loop of its own."""
    return asyncio.run(ask())  # caught by doctor EX204
