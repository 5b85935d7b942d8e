"""Tasks and threads that are left behind fail their test, and so does growth without a bound."""

import asyncio
from contextlib import suppress

import pytest

from tests import leaks
from tests.leaks import nothing_left
from tests.proof.twins import leaking

pytestmark = pytest.mark.anyio

BROKEN = {
    "task": "sleep",
    "swallowing_task": "broken_swallowing_task",
    "thread": "Thread",
    "timer": "Timer",
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.05)


@pytest.fixture
def _nothing_is_left() -> None:
    """These leave something, on purpose."""


class BrokenOnPurposeError(Exception):
    """What the first call raises."""


class Calls:
    """Counts how many are at work, and how many came to their end; the first fails if told to."""

    def __init__(self, *, failing: bool = False) -> None:
        self.running = self.most = self.ended = 0
        self._failing = failing

    async def __call__(self, number: int) -> int:
        if self._failing and number == 0:
            raise BrokenOnPurposeError
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0.1 if self._failing else 0.001 * (number % 3))
        finally:
            self.running -= 1
        self.ended += 1
        return number


@pytest.mark.parametrize("name", BROKEN)
async def test_a_leak_is_named(name: str) -> None:
    with pytest.raises(AssertionError, match=BROKEN[name]):
        async with nothing_left():
            await getattr(leaking, f"broken_{name}")()


@pytest.mark.parametrize("name", ["task_group", "background"])
async def test_good_twins_leave_nothing(name: str) -> None:
    async with nothing_left():
        await getattr(leaking, f"good_{name}")()


async def test_calls_that_run_on_after_an_error_are_left_behind() -> None:
    async def fail() -> None:
        with suppress(BrokenOnPurposeError):
            await leaking.broken_gather_after_an_error(Calls(failing=True))

    with pytest.raises(AssertionError, match="Calls"):
        async with nothing_left():
            await fail()


async def test_a_good_map_ends_the_others_after_an_error() -> None:
    calls = Calls(failing=True)
    async with nothing_left():
        with pytest.raises(BrokenOnPurposeError):
            await leaking.good_map(calls)
    assert calls.running == calls.ended == 0


async def test_a_gather_starts_all_and_a_good_map_ten() -> None:
    all_at_once, bounded = Calls(), Calls()
    assert await leaking.broken_gather_of_all(all_at_once) == list(range(1000))
    assert await leaking.good_map(bounded) == list(range(1000))
    assert (all_at_once.most, bounded.most) == (1000, 10)
