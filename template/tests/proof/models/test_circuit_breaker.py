"""A dead provider is left alone, probed by one call, and used again when it lives."""

import asyncio
from itertools import pairwise

import pytest

from engine.errors import (
    AppError,
    DeadlineExceeded,
    ModelDown,
    ModelRejected,
    ModelUnavailable,
)
from engine.models.failover import (
    FAILURES,
    LONGEST_PAUSE,
    MODELS,
    CircuitBreaker,
    CircuitOpenError,
    circuit_breakers,
)

pytestmark = pytest.mark.anyio


class Provider:
    """Calls through a circuit, on a clock that only the test moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.circuit = CircuitBreaker(lambda: self.time)

    def call(self, error: BaseException | None = None) -> None:
        """Make a call that ends like this."""
        try:
            with self.circuit.call():
                if error is not None:
                    raise error
        except (AppError, TimeoutError, asyncio.CancelledError) as raised:
            if raised is not error:
                raise

    def fail(self, times: int = FAILURES) -> None:
        for _ in range(times):
            self.call(ModelDown("down"))


@pytest.fixture
def provider() -> Provider:
    return Provider()


def test_a_circuit_opens_after_failures_in_a_row(provider: Provider) -> None:
    provider.fail()
    with pytest.raises(CircuitOpenError):
        provider.call()


@pytest.mark.parametrize("alive", [None, ModelRejected("no"), ModelUnavailable("of this request")])
def test_an_answer_in_between_keeps_it_closed(provider: Provider, alive: AppError | None) -> None:
    provider.fail(FAILURES - 1)
    provider.call(alive)
    provider.fail(FAILURES - 1)
    provider.call()


def test_calls_that_take_too_long_are_failures(provider: Provider) -> None:
    for _ in range(FAILURES):
        provider.call(TimeoutError())
    assert provider.circuit.open


@pytest.mark.parametrize("end", [asyncio.CancelledError(), DeadlineExceeded("late")])
def test_the_ends_of_callers_tell_nothing_of_the_provider(
    provider: Provider, end: BaseException
) -> None:
    provider.fail(FAILURES - 1)
    for _ in range(2 * FAILURES):
        provider.call(end)
    provider.call()
    provider.fail(FAILURES - 1)
    provider.call(end)
    provider.fail(1)
    assert provider.circuit.open


def test_one_probe_at_a_time(provider: Provider) -> None:
    provider.fail()
    provider.time += LONGEST_PAUSE
    with provider.circuit.call(), pytest.raises(CircuitOpenError):
        provider.call()


def test_a_good_probe_closes_it(provider: Provider) -> None:
    provider.fail()
    provider.time += LONGEST_PAUSE
    provider.call()
    provider.fail(FAILURES - 1)
    provider.call()


def test_a_cancelled_probe_leaves_the_next_one_in(provider: Provider) -> None:
    provider.fail()
    provider.time += LONGEST_PAUSE
    provider.call(asyncio.CancelledError())
    provider.call()


def test_each_failed_probe_doubles_the_pause(provider: Provider) -> None:
    provider.fail()
    pauses = []
    for _ in range(4):
        began = provider.time
        while provider.circuit.open:
            provider.time += 0.1
        pauses.append(provider.time - began)
        provider.fail(1)
    assert all(later > sooner for sooner, later in pairwise(pauses))


def test_the_circuits_of_the_models_asked_for_last_are_kept() -> None:
    circuit_of = circuit_breakers()
    first = circuit_of("model")
    for number in range(MODELS - 1):
        circuit_of(f"invented {number}")
    assert circuit_of("model") is first
    for number in range(MODELS):
        circuit_of(f"invented again {number}")
    assert circuit_of("model") is not first
