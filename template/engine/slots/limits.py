"""The slots of a model provider, and the rules of the semaphore that shares them out."""

import math
from dataclasses import dataclass


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
