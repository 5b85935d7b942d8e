"""A worker's signs of life, as its probes ask for them."""

import time


class Liveness:
    """How long ago the worker has come round last, and how long ago it could do so well."""

    def __init__(self) -> None:
        self._tried_at = self._swept_at = time.monotonic()

    def tried(self, *, well: bool) -> None:
        """Note that a sweep has ended, well or by an error."""
        self._tried_at = time.monotonic()
        if well:
            self._swept_at = self._tried_at

    @property
    def silence(self) -> float:
        """The seconds since the last sweep ended, however it did."""
        return time.monotonic() - self._tried_at

    @property
    def failing(self) -> float:
        """The seconds since one ended well."""
        return time.monotonic() - self._swept_at
