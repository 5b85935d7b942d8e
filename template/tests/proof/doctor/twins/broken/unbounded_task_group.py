"""A task for each item that the client sends, a call away from the endpoint."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


async def fetch(url: str) -> None:
    """Fetch a page."""
    await asyncio.sleep(1)


async def fetch_all(pages: list[str]) -> None:
    """Fetch all at once."""
    async with asyncio.TaskGroup() as tasks:
        for page in pages:
            tasks.create_task(fetch(page))  # caught by doctor EX401


@app.post("/")
async def endpoint(urls: list[str]) -> int:
    """Fetch what the client asks for."""
    await fetch_all(urls)
    return len(urls)
