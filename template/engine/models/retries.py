"""Retry budget: a failed call is tried again after a random wait, and while few calls fail."""

from typing import Protocol

from engine.errors import AppError
from engine.models.circuit_breaker import CircuitOpenError
from engine.process.backoff import backoff

SHARE = 0.1
"""Retries for each call. A provider that is down must not be asked twice as often for it; this is
the budget of Finagle and of gRPC (A6, `tokenRatio`)."""

SAVED = 10.0
"""Retries that may come at once."""

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0
"""Seconds before the first retry and at most. A random part of them is waited ("full jitter",
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter)."""


class Budget(Protocol):
    """Decides on retries."""

    def earn(self) -> None:
        """Note that there is one more call."""
        ...

    def wait(self, retries: int, error: AppError) -> float | None:
        """Return the seconds before another try of a call with so many `retries`, None for none."""
        ...


class RetryBudget:
    """Retry budget of all calls of a process, for online calls."""

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._saved = SAVED

    def earn(self) -> None:
        """Save for retries."""
        self._saved = min(SAVED, self._saved + SHARE)

    def wait(self, retries: int, error: AppError) -> float | None:
        """Return how long to wait, None for an error that waiting does not mend, or not soon."""
        if retries >= self._retries or self._saved < 1.0:
            return None
        if error.retry_after is None or error.retry_after > LONGEST_WAIT:
            return None
        self._saved -= 1.0
        return error.retry_after + backoff(retries, FIRST_WAIT, LONGEST_WAIT)


class Patience:
    """Batches wait while a circuit breaker is open, in which time no call is made.

    A call that was made is not made again here: SQL counts an item's attempts.
    """

    def earn(self) -> None:
        """Do nothing."""

    def wait(self, _retries: int, error: AppError) -> float | None:
        """Return how long to wait for an open circuit, None for any other error."""
        if not isinstance(error, CircuitOpenError):
            return None
        return (error.retry_after or FIRST_WAIT) + backoff(0, LONGEST_WAIT, LONGEST_WAIT)
