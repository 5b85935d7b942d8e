"""Long work after the answer, in the same process: it is lost with it."""

import asyncio

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()


async def summarise(text: str) -> None:
    """Take a minute."""
    await asyncio.sleep(60)


@app.post("/", status_code=202)
async def endpoint(text: str, tasks: BackgroundTasks) -> str:
    """Answer at once."""
    tasks.add_task(summarise, text)  # caught by doctor EX501
    return "accepted"
