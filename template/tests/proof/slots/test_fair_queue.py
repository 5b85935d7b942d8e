"""The order of turns in a fair queue."""

import asyncio

import pytest

from engine.slots.admission_queue import FairQueue

pytestmark = pytest.mark.anyio


class Line:
    """Callers in a line, and the order in which they had their turn."""

    def __init__(self, callers: str) -> None:
        self.turns = FairQueue()
        self.order = ""
        self.futures = [self._join(caller) for caller in callers]

    def _join(self, caller: str) -> asyncio.Future[None]:
        turn = asyncio.get_running_loop().create_future()
        self.turns.join(caller, turn)
        turn.add_done_callback(lambda done: self._had(caller, done))
        return turn

    def _had(self, caller: str, done: asyncio.Future[None]) -> None:
        if not done.cancelled():
            self.order += caller

    async def served(self) -> str:
        while self.turns.next():  # noqa: ASYNC110
            await asyncio.sleep(0)
        return self.order


async def test_one_caller_is_served_in_order() -> None:
    line = Line("aaa")
    line.turns.next()
    assert [turn.done() for turn in line.futures] == [True, False, False]


async def test_a_caller_with_many_waits_as_long_as_one_with_one() -> None:
    assert await Line("aaaaabbc").served() == "abcabaaa"


async def test_a_waiter_who_gives_up_is_passed_over() -> None:
    line = Line("aab")
    line.futures[0].cancel()
    assert await line.served() == "ab"


async def test_a_waiter_who_gives_up_is_not_counted() -> None:
    line = Line("aab")
    line.futures[0].cancel()
    await asyncio.sleep(0)
    assert len(line.turns) == 2


async def test_an_empty_queue_gives_no_turn() -> None:
    assert not FairQueue().next()
