"""Lane worker: checks a batch's lines, runs its items some at a time, finalises it.

All state that counts is in SQL. This process may die at any line: after one lease another worker
claims its lanes, and at most the items in flight are run again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine import deadline
from engine.batches import (
    batch_input,
    batch_output,
    batches,
    files,
    finalise,
    items,
    lanes,
)
from engine.batches.attempt import attempt_item
from engine.batches.batch_input import BatchInput, LineSplitter
from engine.batches.batches import Work
from engine.batches.group_commit import GroupCommit
from engine.batches.lanes import LaneHold, LostLaneError
from engine.batches.turns import HeldLanes, Turn
from engine.process.queue import Kind
from engine.process.tasks import end_tasks, run_uncut
from engine.resources import Resources
from engine.sql.statements import new_id
from engine.watch.telemetry import request_id
from engine.work.leases import keep_lease

log = logging.getLogger(__name__)

OPEN = ("validating", "in_progress")


async def claim_lane_run(
    resources: Resources, stopping: asyncio.Event, holdings: HeldLanes
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Claim the next free lane of a batch; return the function that works on it, or None.

    `holdings` are this worker's lanes, and are kept here.
    """
    asked_at = asyncio.get_running_loop().time()
    hold = await resources.database.write(lanes.claim_lane, new_id("lease"), holdings.terms)
    if hold is None:
        return None
    holdings.take(hold)
    return partial(_run_held, resources, stopping, holdings, hold, asked_at)


async def _run_held(
    resources: Resources,
    stopping: asyncio.Event,
    holdings: HeldLanes,
    hold: LaneHold,
    asked_at: float,
) -> None:
    turn = Turn(holdings, hold, resources.settings.lane_seconds)
    try:
        await work_on_lane(resources, stopping, hold, turn, asked_at)
    finally:
        holdings.drop(hold)


async def work_on_lane(
    resources: Resources, stopping: asyncio.Event, hold: LaneHold, turn: Turn, asked_at: float
) -> None:
    """Work on a lane until nothing is left for it, its turn is over, or `stopping` is set."""
    database, seconds = resources.database, resources.settings.lease_seconds
    at_once = True
    try:
        work = await database.read(batches.find_work, hold.batch_id)
        request_id.set(work.request_id)
        expires_at = asyncio.get_running_loop().time() + work.seconds
        await LaneRun(resources, stopping, hold, turn, work, expires_at, asked_at).run()
        await database.write(items.give_back, hold)
        if not stopping.is_set():
            await finalise_batch(resources, hold.batch_id)
    except LostLaneError as error:
        log.warning("%s", error)
    except Exception:
        at_once = False  # an immediate failure is retried after a lease, not all the time
        raise
    finally:
        await run_uncut(database.write(items.leave_lane, hold, seconds, at_once=at_once))


@dataclass(frozen=True, slots=True)
class LaneRun:
    """One lane's work on a batch."""

    resources: Resources
    stopping: asyncio.Event
    hold: LaneHold
    turn: Turn
    work: Work
    expires_at: float
    """On the loop's clock. No call of the model goes on beyond it."""
    asked_at: float
    """When the lease was asked for, on the loop's clock."""

    async def run(self) -> None:
        """Work until nothing is left, the turn is over, or the lease or the batch has ended."""
        working = asyncio.create_task(self._work())
        holding = asyncio.create_task(self._keep_alive())
        try:
            await asyncio.wait({working, holding}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            held = not holding.done()
            await end_tasks(working, holding)
        if held:
            working.result()

    async def _keep_alive(self) -> None:
        """Renew the lease; return when there is nothing to hold any more."""
        seconds, name = self.resources.settings.lease_seconds, self.hold.batch_id
        renew = partial(self.resources.database.write, lanes.renew_lane, self.hold, seconds)
        if self.work.status in OPEN:
            await keep_lease(renew, name, seconds, self.asked_at, OPEN)

    async def _work(self) -> None:
        if self.work.status == "validating":
            await self._take_in()
        async with GroupCommit(self.resources.database, self.hold, self.work.caller_id) as recorder:
            await self._run_items(recorder)

    async def _take_in(self) -> None:
        settings, write = self.resources.settings, self.resources.database.write
        operation = self.resources.operations[self.work.endpoint]
        checked = BatchInput(operation, settings.max_batch_lines, settings.max_body_bytes)
        await write(batch_input.restart_input, self.hold)
        async for lines in self._lines():
            new_items = await self.resources.offload.in_thread(checked.read, lines)
            await write(batch_input.add_items, self.hold, new_items)
        checked.end()
        if checked.errors:
            await write(batch_input.reject_input, self.hold, checked.errors)
            await self.resources.queue.wake(Kind.WEBHOOKS)
            return
        await write(batch_input.accept_input, self.hold, checked.lines, settings.batch_lanes)
        for _ in range(1, settings.batch_lanes):
            await self.resources.queue.wake(Kind.BATCHES)

    async def _lines(self) -> AsyncIterator[list[bytes]]:
        splitter = LineSplitter(self.resources.settings.max_body_bytes)
        position: int | None = 0
        while position is not None:
            part = await self.resources.database.read(
                files.read_part, self.work.caller_id, self.work.input_file_id, position
            )
            yield splitter.feed(part.data)
            position = part.position
        yield splitter.end()

    async def _run_items(self, recorder: GroupCommit) -> None:
        chunk = self.resources.settings.batch_chunk
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                # Claimed in eighths of the window, since each claim is a transaction.
                if len(running) <= chunk * 7 // 8:
                    running |= await self._start_items(recorder, chunk - len(running))
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            await end_tasks(*running)

    async def _start_items(self, recorder: GroupCommit, room: int) -> set[asyncio.Task[None]]:
        if self.stopping.is_set() or await self.turn.is_over():
            return set()
        claimed = await self.resources.database.write(items.claim_items, self.hold, room)

        async def run(item: items.ClaimedItem) -> None:
            deadline.ends_at.set(self.expires_at)  # of this item's own task
            await recorder.record(await attempt_item(self.resources, self.work, item))

        return {asyncio.create_task(run(item)) for item in claimed}


async def finalise_batch(resources: Resources, batch_id: str) -> None:
    """Finalise a batch, unless one of its items is still open."""
    await resources.database.write(finalise.cut_off, batch_id)
    if await resources.database.write(finalise.begin_finalising, batch_id):
        output = await _size(resources, batch_id, batch_output.OUTPUT)
        failures = await _size(resources, batch_id, batch_output.ERRORS)
        await resources.database.write(finalise.finish_batch, batch_id, output, failures)
        await resources.queue.wake(Kind.WEBHOOKS)


async def _size(resources: Resources, batch_id: str, purpose: str) -> int:
    size = 0
    position: int | None = 0
    while position is not None:
        more, position = await resources.database.read(
            batch_output.output_size, batch_id, purpose, position
        )
        size += more
    return size
