"""A queue of the loop's own has the methods of a thread's."""

import asyncio

from fastapi import FastAPI

app = FastAPI()
results: asyncio.Queue[str] = asyncio.Queue(100)


@app.get("/")
async def endpoint() -> str:
    """Return the next result, if one comes in time."""
    async with asyncio.timeout(5):
        return await results.get()
