"""A long sleep, and one of unknown length, in the threads that all `def` endpoints share."""

import time

from fastapi import FastAPI

app = FastAPI()


@app.get("/long")
def long() -> None:
    """Sleep for five seconds."""
    time.sleep(5)  # caught by doctor EX504


@app.get("/wished")
def wished(seconds: float) -> None:
    """Sleep for as long as the client likes."""
    time.sleep(seconds)  # caught by doctor EX504
