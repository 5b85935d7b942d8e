"""A line in a log after the answer."""

import logging

from fastapi import BackgroundTasks, FastAPI

app = FastAPI()
log = logging.getLogger(__name__)


async def note(text: str) -> None:
    """Write a line."""
    log.info("accepted %s", text)


@app.post("/", status_code=202)
async def endpoint(text: str, tasks: BackgroundTasks) -> str:
    """Answer at once."""
    tasks.add_task(note, text)
    return "accepted"
