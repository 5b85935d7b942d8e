"""Counting each caller's calls, and letting them through while nobody can count."""

import asyncio
import logging
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.resources.rates import Rates

pytestmark = pytest.mark.anyio

LONG = 2.0
"""Much more than `LONGEST_WAIT`, much less than the five seconds of a socket's own time limit."""


async def allowed(rates: Rates, caller: str, limit: int, calls: int) -> list[bool]:
    counted = [await rates.hit(caller, limit) for _ in range(calls)]
    return [rate is not None and rate.allowed for rate in counted]


async def test_calls_beyond_the_limit_are_refused(redis: Redis, tmp_path: Path) -> None:
    rates = Rates(redis, tmp_path.name)
    assert await allowed(rates, "ada", limit=3, calls=5) == [True, True, True, False, False]


async def test_what_remains_is_counted_down(redis: Redis, tmp_path: Path) -> None:
    rates = Rates(redis, tmp_path.name)
    counted = [await rates.hit("ada", 3) for _ in range(4)]
    assert [rate and rate.remaining for rate in counted] == [2, 1, 0, 0]


async def test_callers_do_not_use_up_each_others_calls(redis: Redis, tmp_path: Path) -> None:
    rates = Rates(redis, tmp_path.name)
    await allowed(rates, "ada", limit=1, calls=2)
    assert await allowed(rates, "bob", limit=1, calls=1) == [True]


async def test_all_processes_count_together(redis: Redis, tmp_path: Path) -> None:
    await allowed(Rates(redis, tmp_path.name), "ada", limit=1, calls=1)
    assert await allowed(Rates(redis, tmp_path.name), "ada", limit=1, calls=1) == [False]


async def test_services_on_one_redis_count_apart(redis: Redis, tmp_path: Path) -> None:
    await allowed(Rates(redis, f"{tmp_path.name}-one"), "ada", limit=1, calls=1)
    assert await allowed(Rates(redis, f"{tmp_path.name}-two"), "ada", limit=1, calls=1) == [True]


async def test_calls_at_once_are_not_let_through_together(redis: Redis, tmp_path: Path) -> None:
    rates = Rates(redis, tmp_path.name)
    counted = await asyncio.gather(*(rates.hit("ada", 5) for _ in range(20)))
    assert sum(rate is not None and rate.allowed for rate in counted) == 5


async def test_a_silent_redis_counts_nothing_and_holds_nobody_up(silent_redis: Redis) -> None:
    async with asyncio.timeout(LONG):
        assert await Rates(silent_redis, "test").hit("ada", 1) is None


async def test_an_uncounted_call_is_one_line_of_the_log(
    silent_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await Rates(silent_redis, "test").hit("ada", 1)
    warned = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.name for each in warned] == ["app.resources.rates"]
