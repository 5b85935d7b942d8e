"""Distributed semaphore with priorities: a provider's slots for the calls of all processes.

Online callers go first. Batches get the slots that are left while no online caller waits anywhere,
but for a reserve that stays free for the next one. Measured on 50 slots with a batch that takes all
it can: online callers waited 504 to 1,297 ms (99th percentile) at a plain semaphore, 3 to 25 ms
with these rules.

Slots are a provider's, not a model's: its models share its servers. A refusal of one lowers the cap
for all, but not below the reserve and one; answers of any raise it. A pause is one model's alone.
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from engine.errors import Overloaded
from engine.process.redis import AWAY
from engine.slots.admission_queue import CoDel, FairQueue
from engine.slots.redis_semaphore import (
    Allowance,
    Pause,
    Pauses,
    Priority,
    Reason,
    RedisSemaphore,
    Report,
)
from engine.watch import metrics

log = logging.getLogger(__name__)

LINGER = 0.005
"""How long a slot that was given back may be taken again in this process without a trip to Redis,
unless other processes wait for it."""

RETRY = 0.5
"""Seconds between two reports while Redis is away, or while a call waits: news may get lost."""

SHORT_PAUSE = 2.0
"""Longest pause of a model that an online caller waits for; before a longer one it is refused,
or another provider asked."""

BATCH_PAUSE = 5.0
"""Seconds for which batches get no more slots after an online caller had waited too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A provider's slots and the rules by which they are shared out. Times are in seconds."""

    slots: int
    reserve: float = 0.1
    """Share of the slots that batches leave free."""
    lease: float = 6.0
    """Time after which the slots of a dead process are free again."""
    longest_wait: float = 20.0
    """Time after which an online caller is refused. Batches wait as long as they must."""
    target: float = 2.0
    """Its longest wait once there has been a queue for `longest_wait`."""
    alone: float = 0.5
    """Share of the slots that all processes together use while they cannot hear of each other."""
    batch_pause_wait: float = 1.0
    """Wait of an online caller from which on batches pause for a moment."""
    longest_pause: float = 60.0
    """Longest pause of a model that its provider asks for."""

    @property
    def reserved(self) -> int:
        """Slots that batches leave free; one at least is always theirs."""
        return min(math.ceil(self.slots * self.reserve), self.slots - 1)


class SlotSemaphore:
    """The slots of one provider as this process sees them: `held` of the `allowed` ones."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        priority: Priority,
        shared: RedisSemaphore | None = None,
        online: "SlotSemaphore | None" = None,
    ) -> None:
        self.held = self.allowed = 0
        self.cap = limits.slots
        self.pauses: Pauses = online.pauses if online and shared is None else Pauses()
        self.used = {Priority.ONLINE: 0, Priority.BATCH: 0}
        """Slots in use in all processes, as of the last report."""
        self.in_use = asyncio.Event()
        """Set by the first call, or from the start. Before, nothing is reported."""
        self.processes = 1
        self.siblings: list[SlotSemaphore] = online.siblings if online else []
        """This process's semaphores of the provider, that of online calls first."""
        self.siblings.append(self)
        # Redis shares the slots out. Without it siblings count each other's calls: online calls
        # take any slot, and batches leave the reserve free beside all of them.
        self._together = [self] if shared else self.siblings
        self._limits = limits
        self._priority = priority
        self._shared = shared
        self._turns = FairQueue()
        self._delay = CoDel(limits.target, limits.longest_wait)
        self._due = asyncio.Event()
        self._reporting = self._changed = self._told_of_waiting = False
        self._wanted = False
        self._away = False
        self._news = Report()
        self._lingering: asyncio.TimerHandle | None = None
        self._waits = metrics.slot_wait.labels(name, priority)
        self._lapsed = metrics.slots_lapsed.labels(name)
        self._name = name
        if shared is None:
            reserved = limits.reserved if priority is Priority.BATCH else 0
            self.allowed = limits.slots - reserved

    @property
    def waiting(self) -> int:
        """Calls that wait for a slot here."""
        return len(self._turns)

    @property
    def free(self) -> bool:
        """Whether one more call may begin here."""
        return sum(each.held for each in self._together) < self.allowed

    @asynccontextmanager
    async def slot(self, model: str, caller_id: str) -> AsyncIterator[None]:
        """Hold a slot for a call of this model. Callers take turns.

        Raise `Overloaded` where an online caller would wait too long, `ModelRateLimited` where the
        provider has asked for a longer pause of the model.
        """
        longest = SHORT_PAUSE if self._priority is Priority.ONLINE else math.inf
        while True:
            await self.pauses.outlast(model, longest)
            await self._take(caller_id)
            if not self.pauses.left(model):
                break
            self._give_back()  # the pause was heard of during the wait
        try:
            yield
        finally:
            self._give_back()

    def succeeded(self) -> None:
        """Note a good answer: the provider bears this many calls."""
        self._news.answers += 1

    def overloaded(self, model: str, pause: float = 0.0) -> float:
        """Note that the provider was asked too much, and for `pause` seconds wants no such call.

        Return the seconds that it gets: `longest_pause` at most, also instead of NaN.
        """
        self._news.cuts += 1
        self._due.set()
        pause = min(self._limits.longest_pause, pause)
        self.leave_alone(Pause(Reason.ASKED, model), pause)
        return pause

    def leave_alone(self, pause: Pause, seconds: float) -> None:
        """Tell all processes of a pause of so many seconds; of none there is nothing to tell."""
        if seconds > 0:
            self.pauses.begin(pause, seconds)
            self._news.pauses[pause] = max(seconds, self._news.pauses.get(pause, 0.0))
            self._due.set()

    async def _take(self, caller_id: str) -> None:
        self.in_use.set()
        if self.free and not (self._turns or self._reporting or self._wanted):
            self.held += 1
            self._waits.observe(0.0)
            return
        loop = asyncio.get_running_loop()
        turn, began = loop.create_future(), loop.time()
        if not self._turns:
            self._delay.was_empty(began)
        self._turns.join(caller_id, turn)
        self._tell()
        online = self._priority is Priority.ONLINE
        try:
            async with asyncio.timeout(self._limits.longest_wait if online else None):
                await turn
        except TimeoutError as error:
            self._give_up(turn)
            raise self._refusal() from error
        except BaseException:
            self._give_up(turn)
            raise
        waited = loop.time() - began
        self._waited(waited)
        if online and waited > self._delay.longest_wait(loop.time()):
            self._give_back()  # to a later call that may still be served in time
            raise self._refusal()

    def _refusal(self) -> Overloaded:
        metrics.refused.labels("model_slots").inc()
        message = "All slots of the model are taken. Try again in a moment."
        return Overloaded(message, retry_after=self._delay.come_back())

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self._give_back()
        turn.cancel()
        self._tell()

    def _give_back(self) -> None:
        self.held -= 1
        if self._wanted or self._reporting:
            self._tell()
            return
        for each in self._together:
            each.serve()
        self._linger()
        if self._told_of_waiting and not self._turns:
            self._due.set()  # batches are kept from slots that no call waits for

    def _tell(self) -> None:
        """Report changes; after the report under way only if its answer is not enough."""
        if self._reporting:
            self._changed = True
        else:
            self._due.set()

    def serve(self) -> None:
        """Give the free slots to the calls that wait for one."""
        while self.free and self._turns.next():
            self.held += 1

    def _linger(self) -> None:
        if self._lingering is None and self._shared and self.held < self.allowed:
            self._lingering = asyncio.get_running_loop().call_later(LINGER, self._end_of_linger)

    def _end_of_linger(self) -> None:
        self._lingering = None
        self._due.set()

    def _waited(self, seconds: float) -> None:
        self._waits.observe(seconds)
        if self._priority is Priority.ONLINE and seconds > self._limits.batch_pause_wait:
            self._news.batch_pause = BATCH_PAUSE
            self._due.set()

    async def report_for_ever(self) -> None:
        """Report changes to Redis, and renew the lease; idle, to hear of pauses."""
        await self.in_use.wait()
        while True:
            hurry = self._turns or self._away
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY if hurry else self._limits.lease / 3):
                    await self._due.wait()
            self._due.clear()
            await self._report()

    def heard(self, _message: bytes) -> None:
        """Report where other processes lifted pauses or gave slots back, and that matters here."""
        if self._turns or self.held < self.allowed or self.pauses.all():
            self._due.set()

    async def _report(self) -> None:
        assert self._shared  # noqa: S101
        report, self._news = self._news, Report()
        report.held, report.waiting = self.held, len(self._turns)
        self._reporting = True
        try:
            allowance = await self._shared.report(report, self._limits.slots, self._limits.reserved)
        except AWAY as error:
            self._go_alone(error)
        else:
            if not allowance.known:
                self._lapsed.inc(report.held)
            self._follow(allowance)
        finally:
            self._reporting = False
        self.serve()
        self._told_of_waiting = len(self._turns) > 0
        if self._changed and (self._turns or self._wanted):
            self._due.set()
        self._changed = False
        self._linger()

    def _follow(self, allowance: Allowance) -> None:
        if self._away:
            log.warning("Redis is back: the slots of %s are shared again", self._name)
        self._away = False
        self.allowed, self.cap, self.used = allowance.slots, allowance.cap, allowance.used
        self._wanted = allowance.wanted
        for each in self.siblings:  # one of them may have its first call while Redis is away
            each.processes = allowance.processes
        self.pauses.follow(allowance.pauses | self._news.pauses)

    def _go_alone(self, error: Exception) -> None:
        """Use a share of the slots that is safe without news of other processes; batches wait."""
        if not self._away:
            log.warning("slots of %s are not shared while Redis is away: %r", self._name, error)
        self._away, self._wanted = True, False
        share = math.floor(self._limits.slots * self._limits.alone / self.processes)
        self.allowed = max(1, share) if self._priority is Priority.ONLINE else 0
