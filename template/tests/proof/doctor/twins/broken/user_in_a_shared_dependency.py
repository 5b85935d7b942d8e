"""The same through a dependency that always gives the same object."""

import asyncio
from functools import cache
from typing import Annotated

from fastapi import Depends, FastAPI

app = FastAPI()


class Agent:
    """Has a user."""

    user = ""


@cache
def the_agent() -> Agent:
    """Return the one agent."""
    return Agent()


async def agent() -> Agent:
    """Return the one agent."""
    return the_agent()


@app.get("/")
async def endpoint(agent: Annotated[Agent, Depends(agent)], user: str) -> str:
    """Greet the user, or another one."""
    agent.user = user  # caught by doctor EX302
    await asyncio.sleep(0.01)
    return agent.user
