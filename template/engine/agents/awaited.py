"""Runs that their callers wait for: followed by their events, cancelled when the caller leaves."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import msgspec

from engine.agents import runs
from engine.errors import Conflict, ModelError, Overloaded
from engine.models.interface import Chunk
from engine.models.wire import Json, data_of
from engine.resources import Resources
from engine.responses import event_log
from engine.responses.event_log import Replay
from engine.responses.schema import FINAL


async def follow_run(
    resources: Resources, caller_id: str, response_id: str
) -> AsyncGenerator[Chunk, None]:
    """Yield the events of a run as they come. A reader that leaves early cancels the run.

    Raise `Conflict` where the run is cancelled otherwise: no event tells of that.
    """
    database = resources.database

    async def replay(after: int) -> Replay:
        return await database.read(
            event_log.replay_events, caller_id, response_id, after, awaited=True
        )

    never = asyncio.Event()  # the drain lets requests end
    events = event_log.follow_events(replay, resources.news, response_id, -1, never)
    last = b""
    try:
        async with aclosing(events):
            async for chunk in events:
                last = chunk.events or last
                yield chunk
        if last_event(last)["type"].removeprefix("response.") not in FINAL:
            raise Conflict("The run was cancelled before its end.")
    finally:
        with suppress(Overloaded):  # then the run goes on to its end
            resources.background.spawn(
                database.write, runs.leave_run, caller_id, response_id, resources.jobs
            )


async def await_run(resources: Resources, caller_id: str, response_id: str) -> Json:
    """Return the response of a run once it has ended. A caller that leaves cancels the run.

    Raise `ModelError` for a run that has failed: a caller who waits gets no response then.
    """
    last = b""
    async with aclosing(follow_run(resources, caller_id, response_id)) as events:
        async for chunk in events:
            last = chunk.events or last
    found: Json = last_event(last)["response"]
    if found["status"] == "failed":
        raise ModelError(found["error"]["message"])
    return found


def last_event(events: bytes) -> Json:
    """Return the last of some events."""
    *_, data = data_of(events)
    found: Json = msgspec.json.decode(data)
    return found
