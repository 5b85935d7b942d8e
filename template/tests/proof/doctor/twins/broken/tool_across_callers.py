"""Tools that mix up the callers of an agent, or ask as much at once as the model likes."""

import asyncio

from fastapi import FastAPI

from engine.agents.agent import Agent
from engine.agents.tools import ToolCall

app = FastAPI()
customer = ""


async def sign_in(call: ToolCall) -> str:
    """Remember the customer."""
    global customer
    customer = call.caller_id  # caught by doctor EX303
    return customer


async def collect(order: int, orders: list[int] = []) -> list[int]:
    """Collect orders."""
    orders.append(order)  # caught by doctor EX305
    return orders


async def find(order: int) -> int:
    """Find an order."""
    await asyncio.sleep(1)
    return order


async def find_all(orders: list[int]) -> list[int]:
    """Find orders."""
    return await asyncio.gather(*(find(order) for order in orders))  # caught by doctor EX401


AGENTS = [Agent("shop", "Sell.", tools=[sign_in, collect, find_all])]
