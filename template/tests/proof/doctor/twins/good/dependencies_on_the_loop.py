"""Dependencies on the loop: a header, a context variable, an object."""

from contextvars import ContextVar
from typing import Annotated

from fastapi import Depends, FastAPI, Header

app = FastAPI()
user: ContextVar[str] = ContextVar("user", default="nobody")


class Page:
    """Which page."""

    def __init__(self, offset: int) -> None:
        self.offset = offset


async def page(offset: int = 0) -> Page:
    """Return which page."""
    return Page(offset)


async def remember(x_user: Annotated[str, Header()]) -> None:
    """Remember who asks."""
    user.set(x_user)


@app.get("/", dependencies=[Depends(remember)])
async def endpoint(page: Annotated[Page, Depends(page)]) -> str:
    """Return who asks for which page."""
    return f"{user.get()} {page.offset}"
