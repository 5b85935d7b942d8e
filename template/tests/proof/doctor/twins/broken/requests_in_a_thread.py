"""Another server asked by a `def` dependency: while it is slow, so is every other `def`."""

from typing import Annotated

import requests
from fastapi import Depends, FastAPI

app = FastAPI()


def fetch(url: str) -> str:
    """Return a page."""
    return requests.get(url, timeout=10).text  # caught by doctor EX504


def weather() -> str:
    """Return the weather."""
    return fetch("http://weather")


@app.get("/")
async def endpoint(weather: Annotated[str, Depends(weather)]) -> str:
    """Answer with the weather."""
    return weather
