"""Admission queue: a bounded queue before bounded places, and CoDel against a standing queue.

A queue that only grows serves every request too late: its caller has given up by then. So a wait is
bounded, and more tightly while the queue does not empty: CoDel ("controlled delay") in the simple
form of B. Maurer, Fail at Scale, ACM Queue 13(8), 2015, after K. Nichols and V. Jacobson,
Controlling Queue Delay, 2012. At twice the capacity an unlimited queue did 13 % of the useful work.

A fair queue is first in, first out for each caller, and round robin over the callers.
"""

import asyncio
import random
import time
from asyncio import Future
from collections import OrderedDict, deque
from collections.abc import Callable
from types import TracebackType
from typing import TypeAlias

from engine.errors import Overloaded

OnFinish: TypeAlias = list[Callable[[], object]]
"""Callbacks for when the last byte has left, the client has gone or the request has failed:
`request.state.on_finish`.

`app/middleware/life_cycle.py` calls them: a dependency that yields would cost each request 35 µs.
"""


class CoDel:
    """A request may wait `interval` seconds, `target` once the queue was not empty for `interval`.

    A short burst may wait a while; a queue that does not empty is a useless backlog.
    """

    __slots__ = ("_empty_at", "interval", "target")

    def __init__(self, target: float, interval: float) -> None:
        self.target = target
        self.interval = interval
        self._empty_at = 0.0

    def was_empty(self, now: float) -> None:
        """Note that the queue was empty at `now`. To be called before a waiter joins it."""
        self._empty_at = now

    def longest_wait(self, now: float) -> float:
        """Return the longest wait, in seconds, of a waiter whose turn comes at `now`."""
        return self.target if now - self._empty_at > self.interval else self.interval

    def come_back(self) -> float:
        """Return the seconds after which to ask again: spread, so that not all do at once."""
        return self.interval * random.uniform(1.0, 2.0)  # noqa: S311 -- no secret


class AdmissionQueue:
    """First in, first out: `places` requests at once, `most_waiting` in the queue for a place.

    `async with queue:` holds a place. Without waiters that costs 0.4 µs: no task, no timer.
    """

    def __init__(
        self,
        places: int,
        most_waiting: int,
        delay: CoDel,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.places = places
        self.taken = 0
        self._most_waiting = most_waiting
        self._delay = delay
        self._clock = clock
        self._queue: OrderedDict[asyncio.Future[bool], float] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def enter(self) -> None:
        """Take a place, now or when it is free; raise `Overloaded` where that would be too late."""
        if self.taken < self.places:
            self.taken += 1
        else:
            await self._wait()

    def leave(self) -> None:
        """Give a place back: to the first waiter that has not waited too long."""
        now = self._clock()
        longest = self._delay.longest_wait(now)
        while self._queue:
            turn, since = self._queue.popitem(last=False)
            if turn.done():  # cancelled or refused, and not yet awake
                continue
            in_time = now - since <= longest
            turn.set_result(in_time)
            if in_time:
                return
        self.taken -= 1

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.leave()

    async def _wait(self) -> None:
        if self.waiting >= self._most_waiting:
            raise self._refusal("queue_full")
        loop, now = asyncio.get_running_loop(), self._clock()
        if not self._queue:
            self._delay.was_empty(now)
        turn: asyncio.Future[bool] = loop.create_future()
        self._queue[turn] = now
        # No turn after the interval could still be in time, however long the next one is away.
        refusing = loop.call_later(self._delay.interval, _refuse, turn)
        try:
            in_time = await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()  # the place came in the moment of the cancellation
            raise
        finally:
            refusing.cancel()
            self._queue.pop(turn, None)
        if not in_time:
            raise self._refusal("queue_slow")

    def _refusal(self, code: str) -> Overloaded:
        message = "This server is overloaded. Try again in a moment."
        return Overloaded(message, code=code, retry_after=self._delay.come_back())


def _refuse(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


class FairQueue:
    """A caller with a hundred waiters waits as long for its next turn as a caller with one."""

    def __init__(self) -> None:
        self._callers: OrderedDict[str, deque[Future[None]]] = OrderedDict()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def join(self, caller: str, turn: Future[None]) -> None:
        """Let `caller` wait; `turn` is done when it has its turn. To give up, cancel `turn`."""
        self._callers.setdefault(caller, deque()).append(turn)
        self._waiting += 1
        turn.add_done_callback(self._left)

    def next(self) -> bool:
        """Give the next caller its turn; return False where no caller waits."""
        while self._callers:
            caller, turns = self._callers.popitem(last=False)
            turn = _first_alive(turns)
            if turns:
                self._callers[caller] = turns  # behind the other callers
            if turn is not None:
                turn.set_result(None)
                return True
        return False

    def _left(self, _turn: Future[None]) -> None:
        self._waiting -= 1


def _first_alive(turns: deque[Future[None]]) -> Future[None] | None:
    while turns:
        turn = turns.popleft()
        if not turn.done():
            return turn
    return None
