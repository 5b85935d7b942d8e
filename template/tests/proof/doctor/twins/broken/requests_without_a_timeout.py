"""`requests` waits for ever unless it is told not to: one of 40 threads is gone."""

import requests
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def endpoint() -> int:
    """Ask another server."""
    return requests.get("http://upstream").status_code  # caught by doctor EX306, doctor EX504
