"""A loop of tries that also tries again when it is cancelled."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def call() -> str:
    """Call another server."""
    await asyncio.sleep(1)
    return "answer"


@app.get("/")
async def endpoint() -> str:
    """Try until it works."""
    while True:
        try:
            return await call()
        except BaseException:  # caught by doctor EX201, ruff BLE001
            continue
