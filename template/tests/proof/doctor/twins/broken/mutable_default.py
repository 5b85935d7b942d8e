"""A default list that remembers what earlier requests put in."""

from fastapi import FastAPI

app = FastAPI()


def with_history(message: str, history: list[str] = []) -> list[str]:
    """Return all messages, of everybody."""
    history.append(message)  # caught by doctor EX305
    return history


@app.post("/")
async def endpoint(message: str) -> list[str]:
    """Answer with the history."""
    return with_history(message)
