"""Blocking calls in a thread with a limit of their own."""

import hashlib
import time

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI

app = FastAPI()


def work(password: str) -> str:
    """Block, and compute."""
    time.sleep(0.1)
    return hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 600_000).hex()


limiter = CapacityLimiter(4)


@app.post("/")
async def endpoint(password: str) -> str:
    """Wait for the thread."""
    return await to_thread.run_sync(work, password, limiter=limiter)
