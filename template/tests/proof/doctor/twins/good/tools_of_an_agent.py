"""Tools that await, bound what a model asks for, and may take their time."""

from typing import Annotated

import httpx
from fastapi import FastAPI
from pydantic import Field

from engine.agents.agent import Agent
from engine.agents.tools import ToolCall, tool

app = FastAPI()
Orders = Annotated[list[int], Field(max_length=10)]


async def find(orders: Orders, call: ToolCall) -> list[str]:
    """Find the customer's orders, one after the other."""
    found = []
    for order in orders:
        answer: httpx.Response = await call.resources.http.get(f"https://shop.example/{order}")
        found.append(answer.text)
    return found


async def count(below: Annotated[int, Field(lt=100)]) -> int:
    """Count."""
    found = 0
    for number in range(below):
        found += number
    return found


AGENTS = [Agent("shop", "Sell.", tools=[tool(find, repeat=False), count])]
