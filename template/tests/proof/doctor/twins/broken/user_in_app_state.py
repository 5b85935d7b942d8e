"""The caller in the app's state: after the await it is another one."""

import asyncio

from fastapi import FastAPI, Request

app = FastAPI()


@app.get("/")
async def endpoint(request: Request, user: str) -> str:
    """Greet the user, or another one."""
    request.app.state.user = user  # caught by doctor EX301
    await asyncio.sleep(0.01)
    return str(request.app.state.user)
