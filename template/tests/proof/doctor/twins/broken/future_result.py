"""Waiting for a thread's future without await: a thread in between helps nobody."""

from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI

app = FastAPI()
pool = ThreadPoolExecutor(4)


@app.get("/")
async def endpoint() -> int:
    """Compute in a thread, and wait for it on the loop."""
    future = pool.submit(pow, 2, 100)
    return future.result()  # caught by doctor EX100
