"""A coroutine as a condition: it is always true."""

from fastapi import FastAPI, HTTPException

app = FastAPI()


async def is_allowed(user: str) -> bool:
    """Say whether a user may."""
    return user == "admin"


@app.get("/")
async def endpoint(user: str) -> str:
    """Let everybody in."""
    if is_allowed(user):  # caught by mypy truthy-bool
        return "secret"
    raise HTTPException(403)
