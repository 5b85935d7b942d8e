"""The shared httpx client: one pool with the relay, no cookies, limits, errors by their names."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
from aiohttp import ClientSession, web

from app.resources.lifespan import open_resources
from app.settings import Settings
from engine.process.address_guard import open_guarded_http
from engine.process.http import Http, Transport, http_over, open_upstream_session
from tests.upstream import Upstream, serving

pytestmark = pytest.mark.anyio

SETTINGS = Settings(_env_file=None, http_connections=3, http_read_timeout=0.5)
SECRET = "hush"


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with open_upstream_session(SETTINGS) as opened:
        yield opened


@pytest.fixture
def http(session: ClientSession) -> Http:
    return http_over(session, SETTINGS)


@pytest.fixture
async def echo() -> AsyncIterator[Upstream]:
    """A server that sets a cookie and answers with the body."""

    async def handler(request: web.Request) -> web.StreamResponse:
        cookie = {"set-cookie": "session=somebodys; Path=/"}
        return web.Response(body=await request.read(), headers=cookie)

    async with serving(handler) as upstream:
        upstream.url = upstream.url.replace("127.0.0.1", "localhost")  # jars skip bare addresses
        yield upstream


@asynccontextmanager
async def saying(*answers: bytes) -> AsyncIterator[str]:
    """Yield a server that gives each request of a connection the next of these, then hangs up."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            for answer in answers:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"chunked" in head:
                    await reader.readuntil(b"0\r\n\r\n")
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/?token={SECRET}"
    finally:
        server.close()


async def cookies_after_two_calls(http: Http, echo: Upstream) -> list[str | None]:
    for _ in range(2):
        await http.get(echo.url + "/x")
    return [headers.get("Cookie") for headers in echo.headers]


async def test_cookies_do_not_pass_from_call_to_call(http: Http, echo: Upstream) -> None:
    assert await cookies_after_two_calls(http, echo) == [None, None]


async def test_a_client_with_a_jar_is_seen_to_leak(session: ClientSession, echo: Upstream) -> None:
    twin = httpx.AsyncClient(transport=Transport(client=session))
    assert await cookies_after_two_calls(twin, echo) == [None, "session=somebodys"]


async def test_a_caller_can_send_a_cookie_with_one_call(http: Http, echo: Upstream) -> None:
    await http.get(echo.url + "/x", headers={"cookie": "mine=1"})
    await http.get(echo.url + "/x")
    assert [headers.get("Cookie") for headers in echo.headers] == ["mine=1", None]


async def test_the_relay_and_the_client_share_their_connections(
    session: ClientSession, http: Http
) -> None:
    together = asyncio.Barrier(3)

    async def handler(_request: web.Request) -> web.StreamResponse:
        await together.wait()
        return web.Response()

    async def relay(url: str) -> None:
        async with session.get(url) as response:
            await response.read()

    async with serving(handler) as upstream, asyncio.TaskGroup() as calls:
        for _ in range(6):
            calls.create_task(relay(upstream.url + "/x"))
            calls.create_task(http.get(upstream.url + "/x"))
    assert len(upstream.connections) == 3


async def test_proxies_of_the_environment_are_not_used(
    session: ClientSession, echo: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await http_over(session, SETTINGS).get(echo.url + "/x")).status_code == 200


async def test_redirects_are_answers(http: Http) -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"location": "/v1/y"})

    async with serving(handler) as upstream:
        assert (await http.get(upstream.url + "/x")).status_code == 307
        assert len(upstream.headers) == 1


async def test_silence_ends_a_call_and_its_connection(http: Http) -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(handler) as upstream:
        with pytest.raises(httpx.ReadTimeout):
            await http.get(upstream.url + "/x")
        await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_a_wait_for_a_free_connection_ends(http: Http) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    async with serving(handler) as upstream:
        ask = httpx.Request("GET", upstream.url + "/x", extensions={"timeout": {}})
        taken = [await http.send(ask, stream=True) for _ in range(3)]
        with pytest.raises(httpx.ConnectTimeout) as raised:
            await http.get(f"{upstream.url}/x?token={SECRET}")
        for each in taken:
            await each.aclose()
    assert SECRET not in str(raised.value)


async def test_a_cancelled_call_ends_its_connection(http: Http) -> None:
    asked = asyncio.Event()

    async def handler(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    patient = httpx.Timeout(60)
    async with serving(handler) as upstream:
        call = asyncio.create_task(http.get(upstream.url + "/x", timeout=patient))
        await asked.wait()
        call.cancel()
        await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_an_answer_that_is_left_early_ends_its_connection(http: Http) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 2**16)

    async with serving(handler) as upstream:
        async with http.stream("GET", upstream.url + "/x") as response:
            await anext(response.aiter_raw())
        await asyncio.wait_for(upstream.gone.wait(), 30)


async def test_a_refused_connection_is_a_connect_error(http: Http) -> None:
    with pytest.raises(httpx.ConnectError):
        await http.get("http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", httpx.ReadError),  # it may have been worked off, so it is no `ConnectError`
        (b"no http\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", httpx.ReadError),
    ],
)
async def test_a_broken_answer_is_a_transport_error_without_the_url(
    http: Http, answer: bytes, error: type[httpx.TransportError]
) -> None:
    async with saying(answer) as url:
        with pytest.raises(error) as raised:
            await http.get(url)
    assert raised.type is error
    assert SECRET not in str(raised.value)


GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def parts() -> AsyncIterator[bytes]:
    yield b'"a'
    yield b'b"'


async def test_a_call_whose_kept_connection_has_ended_is_asked_again(http: Http) -> None:
    async with saying(GOOD, b"") as url:
        for _ in range(3):
            assert (await http.post(url)).text == "ok"


async def test_a_body_that_is_gone_is_not_sent_again_without_its_content(http: Http) -> None:
    async with saying(GOOD, b"") as url:
        assert (await http.post(url, content=parts())).text == "ok"
        with pytest.raises(httpx.ReadError):
            await http.post(url, content=parts())


@pytest.mark.parametrize("multipart", [True, False])
async def test_a_streamed_body_arrives_whole(http: Http, *, multipart: bool) -> None:
    got = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        got.append(await request.read())
        return web.Response()

    server = await asyncio.get_running_loop().create_server(web.Server(handler), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if multipart:
        await http.post(url, files={"file": ("a.txt", b"x" * 2**17)})
        assert b"x" * 2**17 in got[0]
    else:
        await http.post(url, content=parts())
        assert got == [b'"ab"']
    server.close()


async def test_a_library_that_closes_the_client_leaves_the_relay_its_connections(
    session: ClientSession, http: Http, echo: Upstream
) -> None:
    async with http:
        await http.get(echo.url + "/x")
    async with session.get(echo.url + "/x") as response:
        assert response.status == 200


async def test_closing_leaves_no_connection() -> None:
    ended = asyncio.Event()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD)
        if await reader.read() == b"":
            ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    settings = Settings(_env_file=None, database_url="sqlite:///app.db", model_provider="simulated")
    async with open_resources(settings) as resources:
        assert (await resources.http.get(url)).text == "ok"
        assert not ended.is_set()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()


@pytest.mark.parametrize("follow_redirects", [False, True])
async def test_a_callers_url_that_leads_inside_is_not_connected_to(
    echo: Upstream, *, follow_redirects: bool
) -> None:
    async with open_guarded_http(SETTINGS) as guarded:
        with pytest.raises(httpx.ConnectError, match="this is not a public address"):
            await guarded.get(echo.url + "/x", follow_redirects=follow_redirects)
    assert echo.connections == set()


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example"])
async def test_a_callers_host_that_is_no_name_is_a_connect_error(host: str) -> None:
    async with open_guarded_http(SETTINGS) as guarded:
        with pytest.raises(httpx.ConnectError):
            await guarded.get(f"http://{host}/")
