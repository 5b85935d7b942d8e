"""A stream cleans up with an await that is cancelled again before it has begun."""

import asyncio
from collections.abc import AsyncIterator

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
        while True:
            await asyncio.sleep(1)
            sent += 1
            yield "word "
    finally:
        await record(sent)  # caught by doctor EX205


@app.get("/")
async def endpoint() -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())
