"""What belongs to a request lies in its own state, and in local names."""

import asyncio

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/")
async def endpoint(request: Request, user: str) -> str:
    """Greet the user."""
    request.state.user = user
    await asyncio.sleep(0.01)
    return str(request.state.user)
