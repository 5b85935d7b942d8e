"""A coroutine that a `def` endpoint waits for: it keeps a thread that does nothing."""

from anyio import from_thread
from fastapi import FastAPI
from openai import AsyncOpenAI

app = FastAPI()
client = AsyncOpenAI(api_key="key", base_url="http://model")


@app.get("/")
def endpoint() -> int:
    """Ask the model on the event loop."""
    return len(from_thread.run(client.models.list).data)  # caught by doctor EX504
