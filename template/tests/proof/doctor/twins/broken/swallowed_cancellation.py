"""A cancelled request goes on as if nothing had happened."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> str:
    """Never end early."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:  # caught by doctor EX201
        return "cancelled"
    return "done"
