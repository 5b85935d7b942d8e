"""A task that nobody keeps: the loop may drop it half-way."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def notify() -> None:
    """Tell somebody."""
    await asyncio.sleep(1)


@app.post("/")
async def endpoint() -> str:
    """Answer at once."""
    asyncio.create_task(notify())  # caught by doctor EX203, ruff RUF006
    return "accepted"
