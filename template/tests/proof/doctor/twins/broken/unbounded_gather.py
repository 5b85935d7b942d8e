"""As many calls at once as the client has prompts."""

import asyncio

from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Prompts(BaseModel):
    """What to answer."""

    prompts: list[str]


async def complete(prompt: str) -> str:
    """Ask the model."""
    await asyncio.sleep(1)
    return prompt


@app.post("/")
async def endpoint(body: Prompts) -> list[str]:
    """Answer all at once."""
    calls = [complete(prompt) for prompt in body.prompts]
    return list(await asyncio.gather(*calls))  # caught by doctor EX401
