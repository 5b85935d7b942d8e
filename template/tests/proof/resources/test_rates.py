"""Counting each caller's calls, and letting them through while nobody can count."""

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.resources.rates import Rates, rates_of
from tests.service import early_in_a_minute

pytestmark = pytest.mark.anyio

LONG = 2.0
"""Much more than `LONGEST_WAIT`, much less than the five seconds of a socket's own time limit."""


@pytest.fixture(params=["redis", "none"])
def rates(request: pytest.FixtureRequest, tmp_path: Path) -> Rates:
    """The counts of a service, with a Redis and without."""
    early_in_a_minute()
    redis = None if request.param == "none" else request.getfixturevalue("redis")
    return rates_of(redis, tmp_path.name)


async def allowed(rates: Rates, caller: str, limit: int, calls: int) -> list[bool]:
    counted = [await rates.hit(caller, limit) for _ in range(calls)]
    return [rate is not None and rate.allowed for rate in counted]


async def test_calls_beyond_the_limit_are_refused(rates: Rates) -> None:
    assert await allowed(rates, "ada", limit=3, calls=5) == [True, True, True, False, False]


async def test_what_remains_is_counted_down(rates: Rates) -> None:
    counted = [await rates.hit("ada", 3) for _ in range(4)]
    assert [rate and rate.remaining for rate in counted] == [2, 1, 0, 0]


async def test_callers_do_not_use_up_each_others_calls(rates: Rates) -> None:
    await allowed(rates, "ada", limit=1, calls=2)
    assert await allowed(rates, "bob", limit=1, calls=1) == [True]


async def test_all_processes_count_together(redis: Redis, tmp_path: Path) -> None:
    early_in_a_minute()
    await allowed(rates_of(redis, tmp_path.name), "ada", limit=1, calls=1)
    assert await allowed(rates_of(redis, tmp_path.name), "ada", limit=1, calls=1) == [False]


async def test_services_on_one_redis_count_apart(redis: Redis, tmp_path: Path) -> None:
    await allowed(rates_of(redis, f"{tmp_path.name}-one"), "ada", limit=1, calls=1)
    assert await allowed(rates_of(redis, f"{tmp_path.name}-two"), "ada", limit=1, calls=1) == [True]


async def test_calls_at_once_are_not_let_through_together(rates: Rates) -> None:
    counted = await asyncio.gather(*(rates.hit("ada", 5) for _ in range(20)))
    assert sum(rate is not None and rate.allowed for rate in counted) == 5


async def test_a_silent_redis_counts_nothing_and_holds_nobody_up(silent_redis: Redis) -> None:
    async with asyncio.timeout(LONG):
        assert await rates_of(silent_redis, "test").hit("ada", 1) is None


async def test_an_uncounted_call_is_one_line_of_the_log(
    silent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await rates_of(silent_redis, "test").hit("ada", 1)
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.name for each in warned] == ["app.resources.rates"]
