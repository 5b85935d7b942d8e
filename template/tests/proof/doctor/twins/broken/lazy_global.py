"""A client made by the first request: two first requests make two, and one is never closed."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


class Pool:
    """Connections."""


pool: Pool | None = None


async def connect() -> Pool:
    """Connect."""
    await asyncio.sleep(0.1)
    return Pool()


@app.get("/")
async def endpoint() -> str:
    """Answer with a pool."""
    global pool
    if pool is None:
        pool = await connect()  # caught by doctor EX307
    return str(pool)
