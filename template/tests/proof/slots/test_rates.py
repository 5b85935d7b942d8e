"""Counting each caller's calls, and letting them through while Redis is away."""

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine.slots.caller_limits import Cost, Rate, Rates

pytestmark = pytest.mark.anyio

LONG = 2.0
"""Much more than `LONGEST_WAIT`, much less than the five seconds of a socket's own time limit."""


@pytest.fixture(params=["redis", "none"])
def rates(request: pytest.FixtureRequest, tmp_path: Path) -> Rates:
    """The counts of a service, with a Redis and without."""
    redis = None if request.param == "none" else request.getfixturevalue("redis")
    return Rates(redis, tmp_path.name)


async def hit(rates: Rates, caller: str, limit: int, taken: int = 1) -> Rate:
    counted = await rates.hit(caller, [Cost("requests", limit, taken)])
    assert counted
    return counted[0]


async def allowed(rates: Rates, caller: str, limit: int, calls: int) -> list[bool]:
    return [not (await hit(rates, caller, limit)).wait for _ in range(calls)]


async def test_calls_beyond_the_limit_are_refused(rates: Rates) -> None:
    assert await allowed(rates, "ada", limit=3, calls=5) == [True, True, True, False, False]


async def test_remaining_calls_are_counted_down(rates: Rates) -> None:
    counted = [await hit(rates, "ada", 3) for _ in range(4)]
    assert [rate.remaining for rate in counted] == [2, 1, 0, 0]


async def test_calls_that_come_slowly_are_all_let_through(rates: Rates) -> None:
    counted = [await hit(rates, "ada", 60_000) for _ in range(300)]  # each takes 1 ms of it
    assert {rate.wait for rate in counted} == {0}
    assert counted[0].remaining == 59_999


async def test_a_caller_beyond_its_limit_waits_for_one_calls_share(rates: Rates) -> None:
    counted = [await hit(rates, "ada", 5) for _ in range(6)]
    assert 10 < counted[-1].wait <= 12
    assert [rate.wait for rate in counted[:5]] == [0] * 5
    assert 50 < counted[-1].reset <= 60


async def test_a_wait_is_true(rates: Rates) -> None:
    per_second = 60
    while not (refused := await hit(rates, "ada", 50 * per_second, taken=50)).wait:
        pass
    await asyncio.sleep(refused.wait)
    assert not (await hit(rates, "ada", 50 * per_second, taken=50)).wait


async def test_a_refused_call_takes_nothing_of_any_allowance(rates: Rates) -> None:
    async def both(tokens: int) -> list[Rate] | None:
        return await rates.hit("ada", [Cost("requests", 10), Cost("tokens", 100, tokens)])

    for tokens, left in [(60, (9, 40)), (60, (9, 40)), (40, (8, 0))]:
        counted = await both(tokens)
        assert counted
        assert tuple(rate.remaining for rate in counted) == left


async def test_a_call_that_is_larger_than_its_allowance_takes_all_of_it(rates: Rates) -> None:
    assert (await hit(rates, "ada", 5, taken=1000)).remaining == 0


async def test_callers_do_not_use_up_each_others_calls(rates: Rates) -> None:
    await allowed(rates, "ada", limit=1, calls=2)
    assert await allowed(rates, "bob", limit=1, calls=1) == [True]


async def test_all_processes_count_together(redis: Redis, tmp_path: Path) -> None:
    await allowed(Rates(redis, tmp_path.name), "ada", limit=1, calls=1)
    assert await allowed(Rates(redis, tmp_path.name), "ada", limit=1, calls=1) == [False]


async def test_services_on_one_redis_count_apart(redis: Redis, tmp_path: Path) -> None:
    await allowed(Rates(redis, f"{tmp_path.name}-one"), "ada", limit=1, calls=1)
    assert await allowed(Rates(redis, f"{tmp_path.name}-two"), "ada", limit=1, calls=1) == [True]


async def test_calls_at_once_are_not_let_through_together(rates: Rates) -> None:
    counted = await asyncio.gather(*(hit(rates, "ada", 5) for _ in range(20)))
    assert sum(not rate.wait for rate in counted) == 5


async def test_a_silent_redis_counts_nothing_and_holds_nobody_up(silent_redis: Redis) -> None:
    async with asyncio.timeout(LONG):
        assert await Rates(silent_redis, "test").hit("ada", [Cost("requests", 1)]) is None


async def test_an_uncounted_call_is_one_line_of_the_log(
    silent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await Rates(silent_redis, "test").hit("ada", [Cost("requests", 1)])
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.name for each in warned] == ["engine.slots.caller_limits"]
