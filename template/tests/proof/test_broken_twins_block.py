"""A blocked event loop is named at run time, and fails a test; a wait with `await` does neither."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import uvloop
from blockbuster import BlockingError
from fastapi import FastAPI

import app
import engine
from engine.slots.own_threads import own_threads
from engine.watch.watchdog import CODE, HOST, Stall, open_watchdog
from tests.blocking import no_blocking
from tests.proof.twins import blocking

LONG = 0.5
FOLDER = Path(blocking.__file__).parent
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}

Twin = Callable[[float], Awaitable[None]]
KEEP_THE_LOOP = ["sleep", "sleep_in_a_helper", "computing", "lock", "join", "process", "socket"]
CALLS = {
    "sleep": "time.sleep",
    "sleep_in_a_helper": "time.sleep",
    "lock": "lock.acquire",
    "socket": "socket.recv",
    "file": "os.stat|io",
    "database": "sqlite3",
}
GOOD = ["sleep", "thread", "file_in_a_thread", "computing"]


def twin(kind: str, name: str) -> Twin:
    found: Twin = getattr(blocking, f"{kind}_{name}")
    return found


async def stalls_of(running: Twin) -> list[Stall]:
    """Return what the watchdog tells of a twin that runs for a while; the machine's own apart."""
    told: list[Stall] = []
    async with open_watchdog(0.1, told.append, [FOLDER]) as watchdog:
        watchdog.start()
        await asyncio.sleep(0.01)
        await running(LONG)
        await asyncio.sleep(0.2)  # for the beat that ends the stall, and one more
    return [stall for stall in told if stall.offender != HOST]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", KEEP_THE_LOOP)
def test_the_line_that_keeps_the_loop_is_named(name: str, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        [stall] = runner.run(stalls_of(twin("broken", name)))
    function = "_legacy" if name == "sleep_in_a_helper" else f"broken_{name}"
    assert stall.offender.startswith("twins/blocking.py:")
    assert stall.offender.endswith(f" {function}")
    assert function in stall.stack
    assert not stall.ongoing


def test_lines_of_the_app_and_of_the_engine_are_named() -> None:
    assert set(CODE) == {Path(*package.__path__) for package in (app, engine)}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", GOOD)
def test_good_twins_keep_no_loop(name: str, loop: str) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(stalls_of(twin("good", name))) == []


@pytest.mark.anyio
async def test_the_work_of_the_start_up_is_no_stall() -> None:
    told: list[Stall] = []
    async with open_watchdog(0.1, told.append, [FOLDER]) as watchdog:
        await asyncio.sleep(0.01)
        await twin("broken", "computing")(LONG)
        watchdog.start()
        await asyncio.sleep(0.2)
    assert [stall for stall in told if stall.offender != HOST] == []


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_that_never_comes_back_is_told_of(loop: str) -> None:
    told: list[Stall] = []
    released = threading.Event()

    def tell(stall: Stall) -> None:
        told.append(stall)
        released.set()  # by the watchdog alone: without it the loop would stand for the time limit

    async def wait_for_ever() -> None:
        async with open_watchdog(0.1, tell, [Path(__file__).parent]) as watchdog:
            watchdog.start()
            await asyncio.sleep(0.01)
            released.wait(60)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(wait_for_ever())
    assert told[0].ongoing
    assert told[0].offender.endswith("wait_for_ever")


@pytest.mark.anyio
@pytest.mark.parametrize("name", CALLS)
async def test_a_blocking_call_fails_its_test(name: str) -> None:
    with no_blocking(blocking.__name__), pytest.raises(BlockingError, match=CALLS[name]):
        await twin("broken", name)(0.5)


@pytest.mark.anyio
async def test_a_def_handler_fails_no_test_when_it_blocks_its_thread() -> None:
    handlers = FastAPI()
    handlers.get("/shared")(blocking.handler)
    handlers.get("/own")(own_threads(1)(blocking.handler))
    transport = httpx.ASGITransport(handlers)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with no_blocking(blocking.__name__):
            answers = [await client.get(path) for path in ("/shared", "/own")]
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.anyio
async def test_an_async_def_handler_fails_its_test_when_it_blocks_the_loop() -> None:
    handlers = FastAPI()
    handlers.get("/")(blocking.async_handler)
    transport = httpx.ASGITransport(handlers)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        with no_blocking(blocking.__name__), pytest.raises(BlockingError, match=r"time\.sleep"):
            await client.get("/")


@pytest.mark.anyio
@pytest.mark.parametrize("name", GOOD)
async def test_good_twins_fail_no_test(name: str) -> None:
    with no_blocking(blocking.__name__):
        await twin("good", name)(0.01)
