"""The shared client: connections that it keeps between calls, and its time limits."""

import asyncio
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from io import BytesIO
from itertools import count

import pytest
from aiohttp import ClientSession, ServerDisconnectedError, ServerTimeoutError, web

from app.settings import Settings
from engine.process.http import open_upstream_session

pytestmark = pytest.mark.anyio

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    configured = Settings(_env_file=None, http_connections=3, http_read_timeout=0.5)
    async with open_upstream_session(configured) as opened:
        yield opened


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler), handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_cookies_do_not_pass_from_call_to_call(client: ClientSession) -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.headers.get("cookie"))
        return web.Response(headers={"set-cookie": "session=somebodys; Path=/"})

    async with serving(handler) as url:
        for _ in range(2):
            async with client.get(url.replace("127.0.0.1", "localhost")):
                pass
    assert seen == [None, None]


async def test_proxies_of_the_environment_are_not_used(
    client: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="direct")

    async with serving(handler) as url, client.get(url) as response:
        assert await response.text() == "direct"


async def test_connections_are_bounded_and_used_again(client: ClientSession) -> None:
    connections, active, most = set(), 0, 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal active, most
        connections.add(request.transport)
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.01)
        active -= 1
        return web.Response()

    async def call(url: str) -> None:
        async with client.get(url) as response:
            await response.read()

    async with serving(handler) as url:
        await asyncio.gather(*(call(url) for _ in range(12)))
    assert most == 3
    assert len(connections) == 3


class Closing:
    """A server that ends a connection without an answer to its `n`-th request, but for `said`."""

    def __init__(self, n: int, said: bytes = b"") -> None:
        self._n, self._said = n, said
        self._writers: list[StreamWriter] = []
        self.bodies: list[bytes] = []

    @property
    def connections(self) -> int:
        return len(self._writers)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for writer in self._writers:
                writer.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._writers.append(writer)
        with closing(writer), suppress(IncompleteReadError):
            for number in count(1):
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                if number == self._n:
                    writer.write(self._said)
                    return
                self.bodies.append(await reader.readexactly(size))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_a_kept_connection_that_ends_is_replaced_at_once(
    client: ClientSession, size: int
) -> None:
    closing_second = Closing(2)
    async with closing_second.serving() as url:
        for _ in range(3):
            async with client.post(url, data=BytesIO(b"x" * size)) as response:
                assert await response.read() == b"ok"
    assert closing_second.bodies == [b"x" * size] * 3
    assert closing_second.connections == 3


async def test_several_kept_connections_may_have_ended(client: ClientSession) -> None:
    closing_second = Closing(2)

    async def call(url: str) -> None:
        async with client.post(url, data=b"x") as response:
            await response.read()

    async with closing_second.serving() as url:
        for _ in range(2):
            await asyncio.gather(*(call(url) for _ in range(3)))
    assert len(closing_second.bodies) == 6


async def test_a_new_connection_that_ends_is_an_error(client: ClientSession) -> None:
    closing_first = Closing(1)
    async with closing_first.serving() as url:
        with pytest.raises(ServerDisconnectedError):
            await client.post(url, data=b"x")
    assert closing_first.connections == 1


async def test_a_request_with_a_begun_answer_is_not_sent_again(client: ClientSession) -> None:
    breaking_off = Closing(2, said=b"HTTP/1.1 200 OK\r\nx-")
    async with breaking_off.serving() as url:
        async with client.post(url, data=b"x") as response:
            await response.read()
        with pytest.raises(ServerDisconnectedError):
            await client.post(url, data=b"x")
    assert breaking_off.connections == 1


async def test_silence_ends_a_call(client: ClientSession) -> None:
    over = asyncio.Event()

    async def handler(_request: web.BaseRequest) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with serving(handler) as url:
        with pytest.raises(ServerTimeoutError):
            await client.get(url)
        over.set()


async def test_a_stream_may_take_longer_than_any_silence(client: ClientSession) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(8):
            await asyncio.sleep(0.1)
            await response.write(b"x")
        return response

    async with serving(handler) as url, client.get(url) as response:
        assert await response.read() == b"x" * 8


async def test_a_second_piece_keeps_the_timer_of_the_first() -> None:
    read, over = asyncio.Event(), asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"1")
        await read.wait()
        await response.write(b"2")
        await over.wait()  # at the end the timer goes
        return response

    configured = Settings(_env_file=None, http_read_timeout=120)
    async with (
        open_upstream_session(configured) as client,
        serving(handler) as url,
        client.get(url) as response,
    ):
        protocol = response.connection and response.connection.protocol
        assert protocol is not None
        timers = []
        for piece in (b"1", b"2"):
            assert await response.content.readexactly(1) == piece
            timers.append(protocol._read_timeout_handle)
            read.set()
        over.set()
    assert timers[0] is timers[1] is not None
