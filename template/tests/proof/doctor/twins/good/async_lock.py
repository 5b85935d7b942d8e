"""A lock of the loop's own may be held across an await; a thread's for a moment without one."""

import asyncio
import threading

from fastapi import FastAPI

app = FastAPI()
turn = asyncio.Lock()
counting = threading.Lock()
counts = {"calls": 0}


@app.get("/")
async def endpoint() -> int:
    """Do one thing at a time."""
    with counting:
        counts["calls"] += 1
    async with turn:
        await asyncio.sleep(0.1)
    return counts["calls"]
