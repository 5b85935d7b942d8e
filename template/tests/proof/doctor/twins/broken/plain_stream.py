"""A stream from a plain generator: a hop to a thread for every word."""

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


def words() -> Iterator[str]:
    """Yield words."""
    yield from ["one ", "two "]


@app.get("/")
async def endpoint() -> StreamingResponse:
    """Stream."""
    return StreamingResponse(words())  # caught by doctor EX505
