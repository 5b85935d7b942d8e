"""The blocking half of an HTTP client that also has an async one."""

import httpx
from fastapi import FastAPI

app = FastAPI()
client = httpx.Client(timeout=5)


@app.get("/")
async def endpoint() -> int:
    """Ask another server."""
    return client.get("http://upstream").status_code  # caught by doctor EX100
