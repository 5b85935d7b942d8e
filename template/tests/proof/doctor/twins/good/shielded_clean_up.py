"""A stream that cleans up in a shield, and one that needs no await for it."""

import asyncio
from collections.abc import AsyncIterator

import anyio
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def record(words: int) -> None:
    """Store how many words were sent."""
    await asyncio.sleep(0.1)


async def words() -> AsyncIterator[str]:
    """Send words until the client leaves."""
    sent = 0
    try:
        while sent < 100:
            await asyncio.sleep(1)
            sent += 1
            yield "word "
    finally:
        with anyio.CancelScope(shield=True):
            await record(sent)


@app.get("/")
async def endpoint() -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())
