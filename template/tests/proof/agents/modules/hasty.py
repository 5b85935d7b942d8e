"""An agent that has little time, whose tool takes more."""

import asyncio

from engine.agents.agent import Agent


async def linger() -> None:
    """Wait for a minute."""
    await asyncio.sleep(60)


AGENT = Agent("hasty", instructions="Hurry.", tools=[linger], model="scripted", max_seconds=3.0)
