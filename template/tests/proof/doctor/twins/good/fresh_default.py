"""A list made for each call, and a default that nobody changes."""

from fastapi import FastAPI

app = FastAPI()


def with_history(message: str, history: list[str] | None = None) -> list[str]:
    """Return the history with the message."""
    return [*(history or []), message]


@app.post("/")
async def endpoint(message: str) -> list[str]:
    """Answer with the history."""
    return with_history(message)
