"""An agent whose tool sees the request that began its run."""

import logging

from engine.agents.agent import Agent
from engine.watch import telemetry


async def trace() -> str | None:
    """Return the caller's trace."""
    logging.getLogger(__name__).info("traced")
    return telemetry.traceparent.get()


AGENT = Agent("traced", instructions="Call it.", tools=[trace], model="scripted")
