"""A context variable set in a `def` dependency: the endpoint sees the old value."""

from contextvars import ContextVar
from typing import Annotated

from fastapi import Depends, FastAPI, Header

app = FastAPI()
user: ContextVar[str] = ContextVar("user", default="nobody")


def remember(x_user: Annotated[str, Header()]) -> None:
    """Remember who asks."""
    user.set(x_user)  # caught by doctor EX503


@app.get("/", dependencies=[Depends(remember)])
async def endpoint() -> str:
    """Return nobody."""
    return user.get()
