"""The door out of the event loop: bounded, and one call's harm stays with that call."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, get_ident

import anyio
import pytest

from engine.process.offload import Offload
from engine.watch.telemetry import request_id

pytestmark = pytest.mark.anyio


async def until(holds: Callable[[], object]) -> None:
    """Wait on the event loop until `holds()` is true."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def hold(started: Path, release: Path) -> int:
    """Write this process's id to `started` and return it when `release` is there."""
    partial = started.with_suffix(".partial")
    partial.write_text(str(os.getpid()))
    partial.rename(started)
    while not release.exists():
        time.sleep(0.005)
    return os.getpid()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_thread_is_another_than_the_loops() -> None:
    assert await Offload(1, 1).in_thread(get_ident) != get_ident()


async def test_arguments_and_errors_cross_to_a_thread_and_back() -> None:
    with pytest.raises(ValueError, match="base 7"):
        await Offload(1, 1).in_thread(int, "9", base=7)


async def test_no_more_threads_run_than_the_limit_allows() -> None:
    offload, release, running = Offload(2, 1), Event(), list[int]()

    def block() -> None:
        running.append(1)
        release.wait(30)

    calls = [asyncio.create_task(offload.in_thread(block)) for _ in range(3)]
    await until(lambda: len(running) == 2 and offload.threads.statistics().tasks_waiting == 1)
    release.set()
    await asyncio.gather(*calls)
    assert len(running) == 3


async def test_blocking_calls_leave_the_frameworks_own_threads_free() -> None:
    offload, release = Offload(1, 1), Event()
    call = asyncio.create_task(offload.in_thread(release.wait, 30))
    await until(lambda: offload.threads.borrowed_tokens)
    assert anyio.to_thread.current_default_thread_limiter().borrowed_tokens == 0
    release.set()
    await call


async def test_a_cancelled_caller_leaves_but_its_thread_counts_until_it_ends() -> None:
    offload, release, running = Offload(1, 1), Event(), list[int]()

    def block() -> None:
        running.append(1)
        release.wait(30)

    first = asyncio.create_task(offload.in_thread(block))
    await until(lambda: running)
    first.cancel()
    await asyncio.wait({first})
    assert first.cancelled()
    second = asyncio.create_task(offload.in_thread(block))
    await until(lambda: offload.threads.statistics().tasks_waiting)
    assert len(running) == 1
    release.set()
    await second
    assert len(running) == 2


async def test_a_thread_knows_the_request_that_it_works_for() -> None:
    token = request_id.set("request-1")
    try:
        assert await Offload(1, 1).in_thread(request_id.get) == "request-1"
    finally:
        request_id.reset(token)


async def test_a_process_is_another_than_this() -> None:
    assert await Offload(1, 1).in_process(os.getpid) != os.getpid()


async def test_arguments_and_errors_cross_to_a_process_and_back() -> None:
    with pytest.raises(ValueError, match="base 7"):
        await Offload(1, 1).in_process(int, "9", base=7)


async def test_a_process_that_dies_harms_its_own_call_only(tmp_path: Path) -> None:
    offload, started, release = Offload(1, 2), tmp_path / "started", tmp_path / "release"
    other = asyncio.create_task(offload.in_process(hold, started, release))
    await until(started.exists)
    with pytest.raises(anyio.BrokenWorkerProcess):
        await offload.in_process(signal.raise_signal, signal.SIGKILL)
    release.touch()
    assert await other == int(started.read_text())


async def test_a_process_that_died_is_replaced() -> None:
    offload = Offload(1, 1)
    with pytest.raises(anyio.BrokenWorkerProcess):
        await offload.in_process(signal.raise_signal, signal.SIGKILL)
    assert await offload.in_process(abs, -1) == 1


async def test_a_cancelled_caller_ends_its_process(tmp_path: Path) -> None:
    started = tmp_path / "started"
    call = asyncio.create_task(Offload(1, 1).in_process(hold, started, tmp_path / "never"))
    await until(started.exists)
    call.cancel()
    await asyncio.wait({call})
    await until(lambda: gone(int(started.read_text())))
    assert call.cancelled()


async def test_warm_processes_have_run_the_function_before_the_first_caller() -> None:
    offload = Offload(1, 1)
    await offload.warm_up(remember)
    assert await offload.in_process(remembered) == 1


def remember() -> None:
    WARM.append(1)


def remembered() -> int:
    return len(WARM)


WARM: list[int] = []
