"""A cache with a bound, a registry that is emptied, and a constant that nobody changes."""

from cachetools import TTLCache
from fastapi import FastAPI, WebSocket

app = FastAPI()
answers: TTLCache[str, str] = TTLCache(maxsize=1000, ttl=60)
watchers: set[WebSocket] = set()
NAMES = {"a": "Anna"}


@app.get("/")
async def endpoint(question: str) -> str:
    """Answer, and remember it for a minute."""
    answers[question] = NAMES.get(question, "nobody")
    return answers[question]


@app.websocket("/watch")
async def watch(socket: WebSocket) -> None:
    """Keep the watcher while it is there."""
    await socket.accept()
    watchers.add(socket)
    try:
        await socket.receive_text()
    finally:
        watchers.discard(socket)
