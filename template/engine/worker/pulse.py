"""Liveness of a worker, as its probes ask for it."""

import time


class Liveness:
    """Time since the worker's last sweep, and since its last successful one."""

    def __init__(self) -> None:
        self._tried_at = self._swept_at = time.monotonic()

    def tried(self, *, well: bool) -> None:
        """Note that a sweep has ended, well or by an error."""
        self._tried_at = time.monotonic()
        if well:
            self._swept_at = self._tried_at

    @property
    def silence(self) -> float:
        """The seconds since the last sweep ended, well or by an error."""
        return time.monotonic() - self._tried_at

    @property
    def failing(self) -> float:
        """The seconds since a sweep ended well."""
        return time.monotonic() - self._swept_at
