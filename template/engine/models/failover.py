"""When a provider is asked: circuit breaker, and retry budget.

Circuit breaker: a model that is dead at its provider gets no calls for a while. See Nygard,
"Release It!", or https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker.
Retry budget: a failed call is tried again after a random wait, and while few calls fail.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import monotonic
from typing import Protocol

from engine.errors import AppError, DeadlineExceeded, ModelDown
from engine.process.backoff import backoff

FAILURES = 5
"""Calls that fail in a row before the circuit opens: one that fails by itself is no reason."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds for which it stays open. They double with each probe that fails."""

MODELS = 1000
"""Circuit breakers that are kept for a provider. Callers may name any model: hence a bound."""

SOON = 0.1
"""Shortest time after which to ask again, while a probe is under way."""


class CircuitOpenError(ModelDown):
    """The provider was not asked, because it fails at this model."""


class CircuitBreaker:
    """Closed: calls pass. Open: all are refused. Half-open: one probes, the rest is refused."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = FIRST_PAUSE
        self._open_until: float | None = None
        self._probing = False

    @property
    def open(self) -> bool:
        """Whether calls are refused now."""
        return self._open_until is not None and (self._probing or self.left > 0)

    @property
    def left(self) -> float:
        """Seconds until a call may probe the provider; 0 where the circuit is closed."""
        return max(0.0, (self._open_until or 0.0) - self._clock())

    def check(self) -> None:
        """Raise `CircuitOpenError` while calls are refused."""
        if self.open:
            message = "The model server fails, its circuit is open. Try again in a moment."
            raise CircuitOpenError(message, retry_after=max(self.left, SOON))

    @contextmanager
    def call(self) -> Iterator[None]:
        """Run one call, whose `ModelDown` or `TimeoutError` is a failure of the provider.

        A plain `ModelUnavailable` is not: some requests break a server that is well, and a batch of
        such requests would open the circuit for all callers.

        Raise `CircuitOpenError` while the circuit is open. Any other end shows that the provider is
        alive, but for the caller's own ends: a cancellation, or a deadline.
        """
        self.check()
        probe = self._probing = self._open_until is not None
        try:
            yield
        except (ModelDown, TimeoutError):
            self._failed()
            raise
        except DeadlineExceeded:
            raise
        except Exception:
            self._succeeded()
            raise
        else:
            self._succeeded()
        finally:
            if probe:
                self._probing = False

    def _succeeded(self) -> None:
        self._failures, self._pause, self._open_until = 0, FIRST_PAUSE, None

    def _failed(self) -> None:
        self._failures += 1
        if self._failures >= FAILURES:
            # Jitter: not all processes should probe at the same moment.
            self._open_until = self._clock() + self._pause * random.uniform(0.8, 1.2)  # noqa: S311
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)


def circuit_breakers() -> Callable[[str], CircuitBreaker]:
    """Return a function that returns each model's circuit; the least recently used are dropped."""
    return lru_cache(MODELS)(lambda _model: CircuitBreaker())


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
