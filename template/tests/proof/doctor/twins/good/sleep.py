"""A sleep that lets the loop go on."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> str:
    """Answer late, and nobody else."""
    await asyncio.sleep(1)
    return "late"
