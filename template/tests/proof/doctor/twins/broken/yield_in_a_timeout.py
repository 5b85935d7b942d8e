"""A generator leaves its timeout open while its consumer runs: the consumer is cancelled."""

from collections.abc import AsyncIterator

import anyio
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


async def words() -> AsyncIterator[str]:
    """Yield words, the timeout still set."""
    with anyio.fail_after(5):  # caught by doctor EX206
        yield "word"


@app.get("/")
async def endpoint() -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())
