"""A timeout that ends before the `yield`."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def words() -> AsyncIterator[str]:
    """Yield words, each in time."""
    for _ in range(3):
        async with asyncio.timeout(5):
            await asyncio.sleep(1)
        yield "word"


@app.get("/")
async def endpoint() -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())
