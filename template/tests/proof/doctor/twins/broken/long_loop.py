"""Ten million rounds of Python on the loop."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def endpoint() -> int:
    """Compute for half a second."""
    total = 0
    for number in range(10_000_000):  # caught by doctor EX102
        total += number * number
    return total
