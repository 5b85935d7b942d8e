"""Turns on lanes: after a while a worker gives a lane back to a caller with precedence."""

import asyncio
from collections import Counter

from engine.batches import lanes
from engine.batches.lanes import LaneHold, Terms
from engine.resources import Resources


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

    def take(self, hold: LaneHold) -> None:
        """Note that this worker has a lane."""
        self._held[hold.batch_id] += 1

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

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
