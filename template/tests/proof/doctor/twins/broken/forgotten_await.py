"""A coroutine is made and thrown away: nothing of it ever runs."""

from fastapi import FastAPI

app = FastAPI()


async def store(text: str) -> None:
    """Store a text."""


@app.post("/")
async def endpoint(text: str) -> str:
    """Answer, with nothing stored."""
    store(text)  # caught by doctor EX202, mypy unused-coroutine
    return text
