"""An HTTP client for each request: 19 ms of processor time, and no connection is used twice."""

import httpx
from fastapi import FastAPI
from httpx_aiohttp import HttpxAiohttpClient

app = FastAPI()


@app.get("/")
async def endpoint() -> int:
    """Ask another server."""
    async with httpx.AsyncClient(timeout=5) as client:  # caught by doctor EX304
        return (await client.get("http://upstream")).status_code


@app.get("/aiohttp")
async def over_aiohttp() -> int:
    """Ask another server, with another transport."""
    async with HttpxAiohttpClient(timeout=5) as client:  # caught by doctor EX304
        return (await client.get("http://upstream")).status_code
