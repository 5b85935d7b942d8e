"""A dependency may await in its `finally`: FastAPI shields it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


async def slot() -> AsyncIterator[int]:
    """Give a slot."""
    try:
        yield 1
    finally:
        await asyncio.sleep(0.01)


@app.get("/")
async def endpoint(slot: Annotated[int, Depends(slot)]) -> int:
    """Return the slot."""
    return slot
