"""The two ways to get slow are told apart, in the log and in the metrics."""

import asyncio
import logging
from threading import Event

import pytest
from anyio import CapacityLimiter
from prometheus_client import REGISTRY

from engine.process.offload import in_thread
from engine.watch import saturation
from engine.watch.saturation import OFFENDERS, Exhaustion, Stalls
from engine.watch.watchdog import HOST, Stall


def stall(offender: str, *, ongoing: bool = False) -> Stall:
    return Stall(0.3, offender, "lock.acquire()\n", ongoing)


def stalls(offender: str) -> float:
    found = REGISTRY.get_sample_value("app_event_loop_stalls_total", {"offender": offender})
    return found or 0.0


def test_a_stall_is_told_with_its_line_and_a_hint(caplog: pytest.LogCaptureFixture) -> None:
    Stalls(every_one=True).tell(stall("api/slow.py:7 slow"))
    assert "starvation: the event loop stood for 300 ms at api/slow.py:7 slow" in caplog.text
    assert "asyncio.Lock" in caplog.text


def test_production_tells_of_one_stall_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    telling, before = Stalls(every_one=False), stalls("api/often.py:7 slow")
    for _ in range(3):
        telling.tell(stall("api/often.py:7 slow"))
    assert len(caplog.records) == 1
    assert stalls("api/often.py:7 slow") == before + 3


def test_a_stall_that_goes_on_is_counted_once() -> None:
    telling, before = Stalls(every_one=True), stalls("api/long.py:7 slow")
    telling.tell(stall("api/long.py:7 slow", ongoing=True))
    telling.tell(stall("api/long.py:7 slow"))
    assert stalls("api/long.py:7 slow") == before + 1


def test_the_machines_own_stalls_are_counted_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = stalls(HOST)
    Stalls(every_one=True).tell(stall(HOST))
    assert stalls(HOST) == before + 1
    assert not caplog.records


def test_offenders_beyond_a_number_share_a_label() -> None:
    telling, before = Stalls(every_one=True), stalls("other")
    for number in range(OFFENDERS + 5):
        telling.tell(stall(f"api/{number}.py:1 many"))
    assert stalls("other") == before + 5


@pytest.mark.anyio
async def test_exhausted_threads_are_told_and_counted(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "LASTING", 0.0)
    limiter, release = CapacityLimiter(1), Event()
    exhaustion = Exhaustion({"some_threads": limiter})
    calls = [asyncio.create_task(in_thread(limiter, release.wait, 30)) for _ in range(2)]
    async with asyncio.timeout(30):
        while not limiter.statistics().tasks_waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    with caplog.at_level(logging.WARNING):
        exhaustion.look()
    release.set()
    await asyncio.wait(calls)
    labels = {"limit": "some_threads"}
    assert REGISTRY.get_sample_value("app_threads_exhausted_seconds_total", labels)
    assert "exhaustion: all 1 of some_threads are taken and 1 wait" in caplog.text


@pytest.mark.anyio
async def test_threads_that_are_all_taken_are_not_exhausted_while_nobody_waits() -> None:
    limiter, release = CapacityLimiter(1), Event()
    call = asyncio.create_task(in_thread(limiter, release.wait, 30))
    async with asyncio.timeout(30):
        while not limiter.borrowed_tokens:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    Exhaustion({"idle_threads": limiter}).look()
    release.set()
    await call
    labels = {"limit": "idle_threads"}
    assert REGISTRY.get_sample_value("app_threads_exhausted_seconds_total", labels) is None
