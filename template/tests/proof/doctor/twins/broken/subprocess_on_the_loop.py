"""Waiting for another program in an endpoint."""

import subprocess

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> str:
    """Return what the program prints."""
    return subprocess.run(["uptime"], capture_output=True, text=True, check=True).stdout  # caught by doctor EX100, ruff ASYNC221
