"""The caller in a global name: after the await it is another one."""

import asyncio

from fastapi import FastAPI

app = FastAPI()
current_user = ""


@app.get("/")
async def endpoint(user: str) -> str:
    """Greet the user, or another one."""
    global current_user
    current_user = user  # caught by doctor EX303
    await asyncio.sleep(0.01)
    return current_user
