"""A blocking sleep in an endpoint: every request of the process stands still."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> str:
    """Answer late."""
    time.sleep(1)  # caught by doctor EX100, ruff ASYNC251
    return "late"
