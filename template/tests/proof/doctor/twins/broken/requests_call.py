"""A blocking HTTP client in an endpoint."""

import requests
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> int:
    """Ask another server."""
    return requests.get("http://upstream", timeout=5).status_code  # caught by doctor EX100
