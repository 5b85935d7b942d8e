"""Agents for a render: one calls its tool at once, the other once a human has approved of it."""

from engine.agents.agent import Agent
from engine.agents.tools import tool


async def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Sun in {city}"


MODEL = "thinking-model"
INSTRUCTIONS = "Tell the weather."

REPORTER = Agent("reporter", INSTRUCTIONS, tools=[weather], model=MODEL)
CLERK = Agent("clerk", INSTRUCTIONS, tools=[tool(weather, approval=True)], model=MODEL)
