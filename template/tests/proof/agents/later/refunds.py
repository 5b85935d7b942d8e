"""The same agent after a deploy that took its tool `refund` away, and the other agents."""

from engine.agents.agent import Agent
from engine.agents.tools import ToolCall


async def whose(call: ToolCall) -> str:
    """Tell the caller's id."""
    return call.caller_id


AGENT = Agent("refunds", instructions="Refund nothing.", tools=[whose], model="scripted")
