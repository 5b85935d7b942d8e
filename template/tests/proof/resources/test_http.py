"""The shared client: what it keeps between calls, and how long it waits."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, ServerTimeoutError, web

from app.resources.http import open_http
from app.settings import Settings

pytestmark = pytest.mark.anyio

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@pytest.fixture
async def client() -> AsyncIterator[ClientSession]:
    configured = Settings(_env_file=None, http_connections=3, http_read_timeout=0.5)
    async with open_http(configured) as opened:
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
