"""Many calls at once: of a list with a bound, under a semaphore, or of a fixed number."""

import asyncio

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()
slots = asyncio.Semaphore(4)
PLACES = ("north", "south")


class Prompts(BaseModel):
    """What to answer."""

    few: list[str] = Field(max_length=8)
    many: list[str]


async def fetch(name: str) -> str:
    """Ask another server."""
    await asyncio.sleep(1)
    return name


async def fetch_in_turn(name: str) -> str:
    """Ask another server, four at once."""
    async with slots:
        return await fetch(name)


@app.post("/")
async def endpoint(body: Prompts) -> list[str]:
    """Answer all at once."""
    few = await asyncio.gather(*(fetch(prompt) for prompt in body.few))
    many = await asyncio.gather(*(fetch_in_turn(prompt) for prompt in body.many))
    places = await asyncio.gather(*(fetch(place) for place in PLACES))
    return [*few, *many, *places]
