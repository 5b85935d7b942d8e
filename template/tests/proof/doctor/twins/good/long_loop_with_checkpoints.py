"""A long loop that lets others go on, and a short one that need not."""

from typing import Annotated

from anyio.lowlevel import checkpoint
from fastapi import FastAPI, Query

app = FastAPI()


@app.get("/")
async def endpoint(rounds: Annotated[int, Query(le=1000)]) -> int:
    """Compute."""
    total = sum(number for number in range(rounds))
    for number in range(10_000_000):
        total += number
        if number % 10_000 == 0:
            await checkpoint()
    return total
