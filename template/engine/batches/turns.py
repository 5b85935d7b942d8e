"""Turns on lanes: a worker gives one back after a while where callers wait who come before."""

import asyncio
from collections import Counter

from engine.batches import lanes
from engine.batches.lanes import LaneHold, Terms
from engine.resources import Resources


class HeldLanes:
    """The lanes of one worker: how many it has of which batch, and which it will give back."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._held: Counter[str] = Counter()
        self._leaving: set[LaneHold] = set()
        self._asking = asyncio.Lock()

    @property
    def terms(self) -> Terms:
        """On which this worker gets lanes now."""
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
        """Note that it has given one back."""
        self._held[hold.batch_id] -= 1
        self._leaving.discard(hold)

    async def must_leave(self, hold: LaneHold) -> bool:
        """Return whether a lane is to be given back, since others wait who come before.

        One after the other: for one lane that waits, one is given back.
        """
        async with self._asking:
            contended = await self._resources.database.read(
                lanes.contended, hold, self.terms, len(self._leaving)
            )
            if contended:
                self._leaving.add(hold)
            return contended


class Turn:
    """The time of one drain on its lane: `lane_seconds`, and again as long as nobody waits."""

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
