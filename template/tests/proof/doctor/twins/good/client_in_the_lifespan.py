"""One client for the process, with a timeout, handed to requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypedDict

import httpx
from fastapi import Depends, FastAPI, Request


class State(TypedDict):
    """What requests find."""

    client: httpx.AsyncClient


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
    """Open the client, and close it."""
    async with httpx.AsyncClient(timeout=5) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)


async def client(request: Request) -> httpx.AsyncClient:
    """Return the one client."""
    found: httpx.AsyncClient = request.state.client
    return found


@app.get("/")
async def endpoint(client: Annotated[httpx.AsyncClient, Depends(client)]) -> int:
    """Ask another server."""
    return (await client.get("http://upstream")).status_code
