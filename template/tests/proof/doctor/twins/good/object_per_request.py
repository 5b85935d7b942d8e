"""An object made for each request may hold what belongs to it."""

import asyncio
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


class Conversation:
    """One conversation."""

    def __init__(self) -> None:
        self.user = ""
        self.turns: list[str] = []

    async def greet(self, user: str) -> str:
        """Greet the user."""
        self.user = user
        self.turns.append(user)
        await asyncio.sleep(0.01)
        return self.user


async def conversation() -> Conversation:
    """Return a new one."""
    return Conversation()


@app.get("/")
async def endpoint(talk: Annotated[Conversation, Depends(conversation)], user: str) -> str:
    """Greet."""
    return await talk.greet(user)
