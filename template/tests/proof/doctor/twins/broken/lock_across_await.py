"""A thread's lock held across an await: the second request stops the loop, and the first with it."""

import asyncio
import threading

from fastapi import FastAPI

app = FastAPI()
lock = threading.Lock()


@app.get("/")
async def endpoint() -> str:
    """Do one thing at a time."""
    with lock:  # caught by doctor EX101
        await asyncio.sleep(0.1)
    return "done"
