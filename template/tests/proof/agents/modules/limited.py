"""An agent that reaches its limits soon."""

import os
import signal

from engine.agents.agent import Agent


async def number(n: int) -> int:
    """Return the number."""
    return n


async def letters(count: int) -> str:
    """Return so many letters."""
    return "é" * count


async def die() -> None:
    """Kill the process."""
    os.kill(os.getpid(), signal.SIGKILL)


AGENT = Agent(
    "limited",
    instructions="Be brief.",
    tools=[number, letters, die],
    model="scripted",
    max_steps=10,
    max_tokens=36,
)
