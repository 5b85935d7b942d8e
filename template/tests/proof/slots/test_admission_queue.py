"""The waiting room: in turn, bounded, and refusing early once a queue stands."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest

from engine.errors import Overloaded
from engine.process.tasks import end_tasks
from engine.slots.admission_queue import AdmissionQueue, CoDel

pytestmark = pytest.mark.anyio

TARGET, INTERVAL = 100.0, 2000.0
"""Of the test's own clock; the loop's would come there after half an hour."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def room(clock: Clock) -> AdmissionQueue:
    """A room with one place, and with others in line for it."""
    return AdmissionQueue(1, 3, CoDel(TARGET, INTERVAL), clock)


class Visitors:
    """Go in and note when they are in, or that they were refused."""

    def __init__(self, room: AdmissionQueue) -> None:
        self.room = room
        self.inside: list[str] = []
        self.refused: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str) -> None:
        for name in names:
            self.tasks[name] = asyncio.create_task(self._enter(name))
            await rest()

    async def _enter(self, name: str) -> None:
        try:
            await self.room.enter()
        except Overloaded:
            self.refused.append(name)
        else:
            self.inside.append(name)

    async def leave(self) -> None:
        self.room.leave()
        await rest()


async def rest() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def visitors(room: AdmissionQueue) -> AsyncIterator[Visitors]:
    coming = Visitors(room)
    yield coming
    await end_tasks(*coming.tasks.values())


async def test_the_first_to_come_is_the_first_to_go_in(visitors: Visitors) -> None:
    await visitors.come("a", "b", "c", "d")
    for _ in range(3):
        await visitors.leave()
    assert visitors.inside == ["a", "b", "c", "d"]


async def test_no_more_are_inside_than_there_are_places(room: AdmissionQueue) -> None:
    async def stay() -> int:
        async with room:
            await asyncio.sleep(0)
            return room.taken

    at_most = [await asyncio.gather(*(stay() for _ in range(4))) for _ in range(10)]
    assert at_most == [[1] * 4] * 10
    assert (room.taken, room.waiting) == (0, 0)


async def test_a_request_before_a_full_queue_is_refused_at_once_and_told_when_to_come_back(
    visitors: Visitors, room: AdmissionQueue
) -> None:
    await visitors.come("a", "b", "c", "d")
    with pytest.raises(Overloaded) as refused:
        await room.enter()
    assert refused.value.code == "queue_full"
    assert refused.value.retry_after
    assert refused.value.retry_after >= INTERVAL


async def test_a_short_burst_may_wait_for_longer_than_the_target(
    visitors: Visitors, clock: Clock
) -> None:
    await visitors.come("a", "b")
    clock.now += 2 * TARGET
    await visitors.leave()
    assert (visitors.inside, visitors.refused) == (["a", "b"], [])


async def test_in_a_queue_that_stands_who_has_waited_too_long_is_refused_at_its_turn(
    visitors: Visitors, clock: Clock
) -> None:
    await visitors.come("a", "b")
    clock.now += INTERVAL - TARGET
    await visitors.come("c")
    await visitors.leave()  # b, in time
    clock.now += TARGET / 2
    await visitors.come("d")
    clock.now += TARGET / 2 + 1  # for longer than the interval the queue has not been empty
    await visitors.leave()
    assert visitors.refused == ["c"]
    assert visitors.inside == ["a", "b", "d"]


async def test_once_the_queue_was_empty_the_next_burst_may_wait_again(
    visitors: Visitors, clock: Clock
) -> None:
    await visitors.come("a", "b")
    clock.now += INTERVAL + 1
    await visitors.leave()
    assert visitors.refused == ["b"]
    await visitors.come("c", "d")
    clock.now += 2 * TARGET
    await visitors.leave()
    assert visitors.inside == ["a", "c", "d"]


async def test_a_place_that_nobody_takes_in_time_is_free_for_the_next(
    visitors: Visitors, room: AdmissionQueue, clock: Clock
) -> None:
    await visitors.come("a", "b", "c")
    clock.now += INTERVAL + 1
    await visitors.leave()
    assert (room.taken, room.waiting) == (0, 0)


async def test_a_request_cancelled_in_line_is_passed_over(
    visitors: Visitors, room: AdmissionQueue
) -> None:
    await visitors.come("a", "b", "c")
    visitors.tasks["b"].cancel()
    await rest()
    assert room.waiting == 1
    await visitors.leave()
    assert visitors.inside == ["a", "c"]


async def test_a_request_cancelled_in_the_moment_of_its_turn_passes_the_place_on(
    visitors: Visitors, room: AdmissionQueue
) -> None:
    await visitors.come("a", "b", "c")
    room.leave()
    visitors.tasks["b"].cancel()
    await rest()
    assert visitors.inside == ["a", "c"]
    room.leave()
    assert room.taken == 0


async def test_a_place_is_not_given_to_who_was_cancelled_and_has_not_noticed(
    visitors: Visitors, room: AdmissionQueue
) -> None:
    await visitors.come("a", "b", "c")
    visitors.tasks["b"].cancel()
    room.leave()
    await rest()
    assert visitors.inside == ["a", "c"]


async def test_where_no_turn_comes_who_waits_is_refused_after_the_interval() -> None:
    room = AdmissionQueue(1, 1, CoDel(0.01, 0.02))
    await room.enter()
    with pytest.raises(Overloaded) as refused:
        await room.enter()
    assert refused.value.code == "queue_slow"
    assert (room.taken, room.waiting) == (1, 0)


async def test_the_times_to_come_back_differ() -> None:
    delay = CoDel(TARGET, INTERVAL)
    times = {delay.come_back() for _ in range(20)}
    assert len(times) > 1
    assert all(INTERVAL <= each <= 2 * INTERVAL for each in times)


@pytest.mark.parametrize(("empty_for", "longest"), [(0, INTERVAL), (INTERVAL + 1, TARGET)])
def test_the_policy_alone(empty_for: float, longest: float) -> None:
    delay = CoDel(TARGET, INTERVAL)
    delay.was_empty(5.0)
    assert math.isclose(delay.longest_wait(5.0 + empty_for), longest)
