"""What blocks before the first request harms nobody."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from fastapi import FastAPI


def load() -> str:
    """Load slowly."""
    time.sleep(1)
    return Path(__file__).read_text()


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Load once."""
    yield {"text": await anyio.to_thread.run_sync(load)}


app = FastAPI(lifespan=lifespan)
