"""A blocking sleep on the loop: every request of the process stands still."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def handler() -> str:
    """Answer late, and all others as late."""
    time.sleep(1)  # caught by ruff ASYNC251
    return "late"
