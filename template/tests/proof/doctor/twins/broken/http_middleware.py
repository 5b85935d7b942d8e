"""Middleware around a task and a pair of streams: whoever asks whether the client left is told no."""

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.middleware("http")
async def stamp(  # caught by doctor EX506
    request: Request, call_next: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Stamp every answer."""
    response = await call_next(request)
    response.headers["x-stamp"] = "1"
    return response
