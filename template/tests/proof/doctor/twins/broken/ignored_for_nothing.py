"""An ignore that outlived its reason."""

import asyncio

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> str:
    """Answer late."""
    await asyncio.sleep(1)  # doctor: ignore[EX100] it slept once # caught by doctor EX002
    return "late"
