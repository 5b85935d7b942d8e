"""An agent whose effects are counted in a file: each line is a call that ran, and its process."""

import asyncio
import os
import signal
from pathlib import Path

from engine.agents.agent import Agent
from engine.agents.tools import ToolCall, tool


async def look_up(order: int, call: ToolCall) -> str:
    """Look an order up."""
    effect("look_up", call)
    await pause()
    if order % 5 == 4:
        raise ValueError(f"there is no order {order}")
    return f"order {order}"


async def refund(order: int, cents: int, call: ToolCall) -> dict[str, int]:
    """Pay money back."""
    effect("refund", call)
    await pause()
    return {"order": order, "cents": cents}


async def email(to: str, call: ToolCall) -> None:
    """Send an e-mail, which cannot be taken back."""
    effect("email", call)
    await pause()


async def wait(seconds: float, call: ToolCall) -> str:
    """Wait."""
    effect("wait", call)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        effect("cut_off", call)
        raise
    return "waited"


async def give_up(call: ToolCall) -> None:
    """Wait for a task that another one has cancelled."""
    effect("give_up", call)
    gone = asyncio.create_task(asyncio.sleep(60))
    gone.cancel()
    await gone


async def die_once(n: int, call: ToolCall) -> int:
    """Kill the process at the first attempt."""
    effect("die_once", call)
    if call.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return n


async def whose(call: ToolCall) -> str:
    """Tell the caller's id."""
    return call.caller_id


def effect(name: str, call: ToolCall) -> None:
    """Note that a call has an effect."""
    with ledger().open("a") as file:
        file.write(f"{name} {call.key} {call.attempt} {os.getpid()}\n")


def ledger() -> Path:
    """Return the file with the effects."""
    return Path(os.environ["DATA_DIR"]) / "effects.txt"


async def pause() -> None:
    """Wait as long as the test wants."""
    await asyncio.sleep(float(os.environ.get("TOOL_SECONDS", "0")))


AGENT = Agent(
    "refunds",
    instructions="Look orders up, then refund.",
    tools=[
        look_up,
        tool(refund, approval=True),
        tool(email, repeat=False),
        tool(wait, seconds=30.0),
        give_up,
        die_once,
        whose,
    ],
    model="scripted",
    max_steps=60,
)
