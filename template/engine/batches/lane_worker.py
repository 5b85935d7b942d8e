"""Lane worker: checks a batch's lines, runs its items some at a time, finalises it.

All state that counts is in SQL. This process may die at any line: after one lease another worker
claims its lanes, and at most the items in flight are run again. A worker has a lane for a turn:
after a while it gives the lane back to a caller with precedence.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine import deadline
from engine.batches import batch_input, batches, finalise, items, lanes
from engine.batches.batches import BatchWork
from engine.batches.group_commit import GroupCommit
from engine.batches.items import ClaimedItem, ItemOutcome
from engine.batches.lanes import LaneHold, LostLaneError, Terms
from engine.models.reading import one_line
from engine.process.tasks import end_tasks, run_uncut
from engine.resources import Resources, model_for
from engine.sql.statements import new_id
from engine.watch.telemetry import request_id
from engine.work.leases import keep_lease
from engine.work.retry_policy import failure_of

log = logging.getLogger(__name__)

OPEN = ("validating", "in_progress")


async def claim_lane_run(
    resources: Resources, stopping: asyncio.Event, holdings: "HeldLanes"
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Claim the next free lane of a batch; return the function that works on it, or None.

    `holdings` are this worker's lanes, and are kept here.
    """
    asked_at = asyncio.get_running_loop().time()
    hold = await resources.database.write(lanes.claim_lane, new_id("lease"), holdings.terms)
    if hold is None:
        return None
    turn = holdings.take(hold)
    return partial(work_on_lane, resources, stopping, hold, turn, asked_at)


async def work_on_lane(
    resources: Resources, stopping: asyncio.Event, hold: LaneHold, turn: "Turn", asked_at: float
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
            await finalise.finalise_batch(resources, hold.batch_id)
    except LostLaneError as error:
        log.warning("%s", error)
    except Exception:
        at_once = False  # an immediate failure is retried after a lease, not all the time
        raise
    finally:
        try:
            await run_uncut(database.write(items.leave_lane, hold, seconds, at_once=at_once))
        finally:
            turn.end()


@dataclass(frozen=True, slots=True)
class LaneRun:
    """One lane's work on a batch."""

    resources: Resources
    stopping: asyncio.Event
    hold: LaneHold
    turn: "Turn"
    work: BatchWork
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
            await batch_input.take_in(self.resources, self.hold, self.work)
        chunk = self.resources.settings.batch_chunk
        running: set[asyncio.Task[None]] = set()
        async with GroupCommit(self.resources.database, self.hold, self.work.caller_id) as commit:
            try:
                while True:
                    # Claimed in eighths of the window, since each claim is a transaction.
                    if len(running) <= chunk * 7 // 8:
                        running |= await self._start_items(commit, chunk - len(running))
                    if not running:
                        return
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            finally:
                await end_tasks(*running)

    async def _start_items(self, commit: GroupCommit, room: int) -> set[asyncio.Task[None]]:
        if self.stopping.is_set() or await self.turn.is_over():
            return set()
        claimed = await self.resources.database.write(items.claim_items, self.hold, room)
        return {asyncio.create_task(self._run_item(commit, item)) for item in claimed}

    async def _run_item(self, commit: GroupCommit, item: ClaimedItem) -> None:
        deadline.ends_at.set(self.expires_at)  # of this item's own task
        await commit.record(await attempt_item(self.resources, self.work, item))


async def attempt_item(resources: Resources, work: BatchWork, item: ClaimedItem) -> ItemOutcome:
    """Run the item by the same function as a request; raise only when cancelled.

    A transient error is retried, up to `batch_attempts` times; any other ends the item.
    """
    operation = resources.operations[work.endpoint]
    # `items.record_items` counts its tokens.
    model = model_for(resources, work.caller_id, counted=False)
    try:
        body = operation.body.model_validate_json(item.body)
        # Not by `request_timeout`: that is a call's, and an item may wait long for its slot.
        async with asyncio.timeout_at(deadline.ends_at.get()):
            answer = await operation.run(model, body)
        return ItemOutcome(
            item.id,
            item.attempt,
            "succeeded",
            response=one_line(answer.body),
            usage=answer.usage,
            model=operation.model_of(body),
        )
    except Exception as error:  # noqa: BLE001 -- any error is the item's outcome
        return _failed(resources, item, error)


def _failed(resources: Resources, item: ClaimedItem, error: Exception) -> ItemOutcome:
    failure = failure_of(error)
    delay = failure.delay(item.errors, resources.settings.batch_attempts)
    return ItemOutcome(
        item.id,
        item.attempt,
        "failed" if delay is None else "pending",
        error_code=failure.code,
        error_message=failure.message,
        own=failure.own,
        delay=delay or 0.0,
    )


class HeldLanes:
    """The lanes of one worker: the number of each batch, and the ones that it will give back."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._held: Counter[str] = Counter()
        self._leaving: set[LaneHold] = set()
        self._asking = asyncio.Lock()

    @property
    def terms(self) -> Terms:
        """The terms on which this worker gets lanes now."""
        settings = self._resources.settings
        return Terms(
            lease_seconds=settings.lease_seconds,
            lanes_per_batch=settings.batch_lanes,
            lanes_per_caller=settings.lanes_per_caller,
            held=+self._held,
        )

    def take(self, hold: LaneHold) -> "Turn":
        """Note that this worker has a lane, and return its turn there."""
        self._held[hold.batch_id] += 1
        return Turn(self, hold, self._resources.settings.lane_seconds)

    def drop(self, hold: LaneHold) -> None:
        """Note that this worker has given a lane back."""
        self._held[hold.batch_id] -= 1
        self._leaving.discard(hold)

    async def must_leave(self, hold: LaneHold) -> bool:
        """Return whether a lane is to be given back, since callers wait that come before.

        The lanes ask one after the other: for one lane that waits, one is given back.
        """
        async with self._asking:
            contended = await self._resources.database.read(
                lanes.is_contended, hold, self.terms, len(self._leaving)
            )
            if contended:
                self._leaving.add(hold)
            return contended


class Turn:
    """One drain's time on its lane: `lane_seconds`, and more while no caller before it waits."""

    def __init__(self, holdings: HeldLanes, hold: LaneHold, seconds: float) -> None:
        self._holdings = holdings
        self._hold = hold
        self._seconds = seconds
        self._ends = self._now() + seconds
        self._over = False

    async def is_over(self) -> bool:
        """Return whether the lane is to be given back; a turn that is over stays so."""
        if not self._over and self._now() >= self._ends:
            self._over = await self._holdings.must_leave(self._hold)
            self._ends = self._now() + self._seconds
        return self._over

    def end(self) -> None:
        """Note that the lane has been given back."""
        self._holdings.drop(self._hold)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
