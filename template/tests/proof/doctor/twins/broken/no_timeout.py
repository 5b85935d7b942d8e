"""A client that waits for ever."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Open the client."""
    async with httpx.AsyncClient(timeout=None) as client:  # caught by doctor EX306
        yield {"client": client}


app = FastAPI(lifespan=lifespan)
