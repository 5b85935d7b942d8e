"""A dependency that only reads a header, and goes to a thread for it."""

from typing import Annotated

from fastapi import Depends, FastAPI, Header, HTTPException

app = FastAPI()


def token(authorization: Annotated[str, Header()]) -> str:  # caught by doctor EX502
    """Return the token."""
    if not authorization.startswith("Bearer "):
        raise HTTPException(401)
    return authorization.removeprefix("Bearer ")


@app.get("/")
async def endpoint(token: Annotated[str, Depends(token)]) -> str:
    """Return the token."""
    return token
