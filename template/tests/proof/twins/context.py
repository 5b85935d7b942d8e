"""Apps that keep the caller's name in a context variable, on a connection that is kept alive."""

from contextvars import ContextVar
from typing import Annotated

from fastapi import FastAPI, Header, Request

name: ContextVar[str] = ContextVar("name", default="nobody")


def broken_trusting() -> FastAPI:
    """Set where the header is there, and trusted to be unset where it is not."""
    app = FastAPI()

    @app.get("/who")
    async def who(x_name: Annotated[str | None, Header()] = None) -> str:
        if x_name:
            name.set(x_name)
        return name.get()

    return app


def good_anew() -> FastAPI:
    """Set anew for each request, whatever is there."""
    app = FastAPI()

    @app.get("/who")
    async def who(request: Request) -> str:
        name.set(request.headers.get("x-name", "nobody"))
        return name.get()

    return app
