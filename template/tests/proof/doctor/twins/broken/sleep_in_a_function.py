"""The same, two calls away from the endpoint, where no rule of one function sees it."""

import time as clock

from fastapi import FastAPI

app = FastAPI()


def wait_for_turn() -> None:
    """Wait."""
    clock.sleep(1)  # caught by doctor EX100


def prepare() -> str:
    """Wait, then return."""
    wait_for_turn()
    return "ready"


@app.get("/")
async def endpoint() -> str:
    """Answer late."""
    return prepare()
