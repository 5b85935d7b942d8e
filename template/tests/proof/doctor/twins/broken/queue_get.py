"""Taking from a thread's queue: with an empty one the loop stands still for ever."""

import queue

from fastapi import FastAPI

app = FastAPI()
results: queue.Queue[str] = queue.Queue()


@app.get("/")
async def endpoint() -> str:
    """Return the next result."""
    return results.get()  # caught by doctor EX100
