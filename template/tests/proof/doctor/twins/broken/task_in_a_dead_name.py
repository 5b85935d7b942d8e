"""A task kept in a name that ends with the request."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def notify() -> None:
    """Tell somebody."""
    await asyncio.sleep(1)


@app.post("/")
async def endpoint() -> str:
    """Answer at once."""
    task = asyncio.get_running_loop().create_task(notify())  # caught by doctor EX203
    return "accepted"
