"""The time at which a lane must be looked at, counted from its batch and items."""

from dataclasses import dataclass

A_LITTLE = 0.001
"""Seconds that are lost where SQLite reckons its time from days."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a numbered lane of an open batch says, and what there is to do."""

    status: str
    ready: bool
    ready_at: float | None
    items: int
    """Those that are open."""
    due: float | None
    """When the first of them may be tried that need not run alone."""

    def is_too_late(self, now: float, lease: float) -> bool:
        """Whether its work waits for longer than a lease, or for longer than it has to."""
        if self.ready_at is None:
            return True
        soon = now + lease + A_LITTLE
        works = self.status != "in_progress" or not self.items
        has_work = works or (self.due is not None and self.due <= now)
        latest = soon if has_work else max(soon, self.due or 0.0)
        return not self.ready and self.ready_at > latest
