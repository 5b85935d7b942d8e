"""Requests in flight are waited for, then cut off, and waited for again while they clean up."""

import asyncio
import signal
from collections.abc import Callable, Iterator

import pytest

from engine.errors import ShuttingDown
from engine.process.drain import Drain, open_drain

pytestmark = pytest.mark.anyio

NEVER = 3600.0
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server:
    """What a server does at a signal, and how often it did."""

    def __init__(self) -> None:
        self._closed = 0

    def close(self, *_: object) -> None:
        self._closed += 1

    def closed(self) -> int:
        return self._closed


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that handles the signals of the test's process."""
    server = Server()
    before = {number: signal.signal(number, server.close) for number in SIGNALS}
    yield server
    for number, handler in before.items():
        signal.signal(number, handler)


class Request:
    """A request that never ends by itself and takes a while to clean up."""

    def __init__(self, drain: Drain) -> None:
        self.begun, self.cleaned_up = asyncio.Event(), False
        self._drain = drain
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async with self._drain.in_flight():
            try:
                self.begun.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)
                self.cleaned_up = True


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_a_request_in_flight_when_the_grace_is_over_is_told_so(server: Server) -> None:
    async with open_drain(0, 0.05) as drain:
        request = Request(drain)
        await request.begun.wait()
        drain.begin(server.close)
        with pytest.raises(ShuttingDown):
            await request.task
    assert server.closed() == 1


async def test_a_request_after_the_grace_is_told_so_at_once(server: Server) -> None:
    async with open_drain(0, 0) as drain:
        drain.begin(server.close)
        await until(server.closed)
        await asyncio.sleep(0.05)
        with pytest.raises(ShuttingDown):
            await Request(drain).task


async def test_a_time_limit_of_the_requests_own_is_not_the_drains() -> None:
    async def take_too_long(drain: Drain) -> None:
        async with drain.in_flight():
            raise TimeoutError

    async with open_drain(NEVER, NEVER) as drain:
        with pytest.raises(TimeoutError):
            await asyncio.create_task(take_too_long(drain))


async def test_the_end_waits_for_what_cancelled_requests_still_do() -> None:
    async with open_drain(NEVER, NEVER) as drain:
        request = Request(drain)
        await request.begun.wait()
        request.task.cancel()
    assert request.cleaned_up


async def test_until_the_server_closes_nothing_is_cut_off(server: Server) -> None:
    async with open_drain(NEVER, 0) as drain:
        request = Request(drain)
        drain.begin(server.close)
        await asyncio.wait({request.task}, timeout=0.05)
        assert not request.task.done()
        assert not server.closed()
        request.task.cancel()


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_begins_and_the_same_again_cuts_off(server: Server, number: int) -> None:
    async with open_drain(NEVER, NEVER) as drain:
        with drain.on_signals():
            request = Request(drain)
            await request.begun.wait()
            signal.raise_signal(number)
            await drain.begun.wait()
            assert not server.closed()
            signal.raise_signal(number)
            with pytest.raises(ShuttingDown):
                await request.task
    assert server.closed() == 1


async def test_another_signal_changes_nothing(server: Server) -> None:
    async with open_drain(NEVER, NEVER) as drain:
        with drain.on_signals():
            request = Request(drain)
            for number in SIGNALS:
                signal.raise_signal(number)
            await drain.begun.wait()
            await asyncio.wait({request.task}, timeout=0.05)
            assert not request.task.done()
            request.task.cancel()
    assert not server.closed()


async def test_in_a_thread_which_gets_no_signals_it_opens_all_the_same(server: Server) -> None:
    async def use() -> None:
        async with open_drain(NEVER, NEVER) as drain:
            with drain.on_signals():
                pass

    await asyncio.to_thread(asyncio.run, use())
    signal.raise_signal(signal.SIGTERM)
    assert server.closed() == 1


async def test_the_server_has_its_signals_back_in_the_end(server: Server) -> None:
    async with open_drain(NEVER, NEVER) as drain:
        with drain.on_signals():
            pass
    signal.raise_signal(signal.SIGTERM)
    assert server.closed() == 1
