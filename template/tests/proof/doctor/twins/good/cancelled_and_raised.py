"""Cancellation is noticed, and goes on its way."""

import asyncio
import logging

from fastapi import FastAPI

app = FastAPI()
log = logging.getLogger(__name__)


@app.get("/")
async def endpoint() -> str:
    """Count those who left."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        log.info("left early")
        raise
    except Exception:
        log.exception("failed")
        raise
    return "done"
