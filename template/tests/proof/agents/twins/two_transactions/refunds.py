"""Broken twin: an answer of the model is kept in one transaction, its plan in another."""

from typing import Any

from engine.agents import steps
from engine.responses.event_log import EventWriter, FencedWrite
from tests.proof.agents.modules.refunds import AGENT

__all__ = ["AGENT"]

whole = EventWriter.write


async def in_two(writer: EventWriter, fn: FencedWrite[...], /, *args: Any) -> None:  # noqa: ANN401
    """Write a plan in two transactions, all else in one."""
    if fn is steps.keep_plan:
        (planned,) = args
        await whole(writer, fn, planned[:1])
        args = (planned[1:],)
    await whole(writer, fn, *args)


EventWriter.write = in_two  # type: ignore[method-assign,assignment]
