"""A class as dependency: its `__init__` runs in a thread."""

from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


class Page:
    """Which page."""

    def __init__(self, offset: int = 0, limit: int = 20) -> None:  # caught by doctor EX502
        self.offset = offset
        self.limit = limit


@app.get("/")
async def endpoint(page: Annotated[Page, Depends()]) -> int:
    """Return the page's beginning."""
    return page.offset
