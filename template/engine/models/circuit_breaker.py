"""Circuit breaker: a model that is dead at its provider gets no calls for a while.

See Nygard, "Release It!", or https://learn.microsoft.com/azure/architecture/patterns/circuit-breaker.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from time import monotonic

from engine.errors import DeadlineExceeded, ModelDown

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
