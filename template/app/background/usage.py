"""Counts tokens after the answer has left: those of many answers in one transaction."""

import asyncio
import logging

from pydantic import BaseModel

from engine.callers import usage
from engine.errors import Overloaded
from app.resources.lifespan import Resources
from engine.models.interface import Usage

log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""How long counts gather. A transaction for each answer was an eighth of what a passed-through chat
cost in processor time; a killed process forgets the counts of this long."""


def count(resources: Resources, caller_id: str, model: str, used: Usage) -> None:
    """Add to the caller's usage, soon. The answer is worth more than the count: no error leaves."""
    tallies = resources.tallies
    first = not tallies
    tallies.add(caller_id, model, used)
    if first:
        try:
            resources.background.spawn(_write, resources)
        except Overloaded:
            tallies.take()
            log.warning("usage of %s not counted, too much to count: %s", caller_id, used)


def count_unfinished(
    resources: Resources, caller_id: str, model: str, body: BaseModel, generated: int
) -> None:
    """Add what a call has used whose caller did not wait for its end: the provider charges it."""
    try:
        resources.background.spawn(_count_unfinished, resources, caller_id, model, body, generated)
    except Overloaded:
        log.warning("usage of %s not counted: it did not wait for its answer", caller_id)


async def _count_unfinished(
    resources: Resources, caller_id: str, model: str, body: BaseModel, generated: int
) -> None:
    prompt = await resources.tokenizer.count(body.model_dump_json())
    count(resources, caller_id, model, Usage(prompt, generated))


async def _write(resources: Resources) -> None:
    await asyncio.sleep(GATHER_SECONDS)
    await resources.database.write(usage.add_all, resources.tallies.take())
