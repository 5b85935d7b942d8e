"""An agent that has money paid by a server elsewhere, at `PAYMENT_URL`."""

import asyncio
import os

import aiohttp

from engine.agents.agent import Agent
from engine.agents.tools import ToolCall, ToolError, tool

TRIES, SECONDS = 20, 0.4


async def charge(order: int, call: ToolCall) -> str:
    """Charge an order: asked again with the same key until the server says that it is done."""
    for _ in range(TRIES):
        try:
            return await ask_to_pay(order, call, SECONDS)
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.05)
    raise ToolError("The payment server does not answer.")


async def give(order: int, call: ToolCall) -> str:
    """Pay once; the server has no keys for this."""
    return await ask_to_pay(order, call, None)


async def ask_to_pay(order: int, call: ToolCall, seconds: float | None) -> str:
    """Return what the server says."""
    limit = aiohttp.ClientTimeout(seconds)
    headers = {"Idempotency-Key": call.key}
    url = f"{os.environ['PAYMENT_URL']}/charges"
    async with (
        aiohttp.ClientSession(timeout=limit, raise_for_status=True) as session,
        session.post(url, json={"order": order}, headers=headers) as answer,
    ):
        return await answer.text()


AGENT = Agent(
    "payments",
    instructions="Pay.",
    tools=[tool(charge, seconds=60.0), tool(give, repeat=False, seconds=2.0)],
    model="scripted",
)
