"""One pool of connections for two clients: httpx, and for model servers aiohttp beneath it.

The pool is aiohttp's, because the pool of httpx 0.28 gets slower with each open connection.
Processor time of a call at 32 connections: 0.3 ms by the session, 0.7 ms by httpx over it, 2.9 ms
by httpx with its own pool (CPython 3.13, two busy cores; ratios are steadier than times).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import TYPE_CHECKING, TypeAlias

import httpx
from aiohttp import (
    ClientConnectorError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from aiohttp.client_proto import ResponseHandler
from httpx_aiohttp import AiohttpTransport

from engine.settings import Settings

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

Http: TypeAlias = httpx.AsyncClient
"""The type of the shared client, for annotations: no other module makes a client."""

UpstreamSession: TypeAlias = ClientSession
"""The type of the session with model servers."""

on_new_connection: ContextVar[bool] = ContextVar("on_new_connection", default=True)
"""Whether a connection was made for the request at work."""


new_connection_only: ContextVar[bool] = ContextVar("new_connection_only", default=False)
"""Whether the request at work is not to get a kept connection."""


class Protocol(ResponseHandler):
    """Keeps the timer of `sock_read` for the first tenth of its time, whatever arrives.

    aiohttp makes a new timer for each piece that arrives: 8 % of a stream's processor time. So a
    silence may end up to a tenth of `sock_read` too early.
    """

    def _reschedule_timeout(self) -> None:
        timer, seconds = self._read_timeout_handle, self._read_timeout
        left = timer.when() - self._loop.time() if timer else 0.0
        if not (seconds and 0.9 * seconds < left <= seconds):
            super()._reschedule_timeout()


class Connector(TCPConnector):
    """Notes which requests get a new connection; gives one to a request that asks for it."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit=limit, keepalive_timeout=60)
        self._factory = partial(Protocol, loop=self._loop)  # type: ignore[assignment]  # invariant

    async def _get(self, key: "ConnectionKey", traces: list["Trace"]) -> "Connection | None":
        return None if new_connection_only.get() else await super()._get(key, traces)

    async def _create_connection(
        self, req: ClientRequest, traces: list["Trace"], timeout: ClientTimeout
    ) -> ResponseHandler:
        on_new_connection.set(True)
        return await super()._create_connection(req, traces, timeout)


async def ask_again(request: ClientRequest, ask: ClientHandlerType) -> ClientResponse:
    """Retry once, on a new connection, where a kept one ended before an answer's first byte.

    Servers close idle connections at a moment of their own. aiohttp asks again for a GET only. A
    body that came from an iterator is gone, so such a request ends with the error.
    """
    on_new_connection.set(False)
    new_connection_only.set(False)
    try:
        return await ask(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        begun = isinstance(error, ServerDisconnectedError) and not isinstance(error.message, str)
        spent = request.body and request.body.consumed
        if on_new_connection.get() or begun or spent:
            raise
    new_connection_only.set(True)
    return await ask(request)


class Transport(AiohttpTransport):
    """Names errors as httpx does: to httpx-aiohttp 0.2 each broken connection is a time-out.

    A `ConnectError` says that nothing was sent, so that a call may be repeated.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the answer to a request; raise `httpx.TransportError`."""
        try:
            return await super().handle_async_request(request)
        except httpx.ConnectTimeout as error:
            raise _named(error.__cause__, request.url.host) from error.__cause__
        except ClientResponseError as error:  # its text has the whole URL
            raise httpx.RemoteProtocolError(error.message) from error

    async def aclose(self) -> None:
        """Leave the session open: calls to model servers share it."""


@asynccontextmanager
async def open_upstream_session(settings: Settings) -> AsyncIterator[UpstreamSession]:
    """Yield the session; all calls share its connections.

    An answer may stream for minutes, so only the silence between two reads is limited.
    Cookies are not kept: they would pass from caller to caller.
    """
    timeout = ClientTimeout(
        total=None,
        sock_connect=settings.http_connect_timeout,
        sock_read=settings.http_read_timeout,
    )
    connector = Connector(settings.http_connections)
    async with ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=DummyCookieJar(),
        middlewares=[ask_again],
    ) as session:
        yield session


def http_over(session: ClientSession, settings: Settings) -> Http:
    """Return an httpx client that uses a session's connections and is closed with it.

    It keeps no cookies, follows no redirects and asks no proxy of the environment. A wait for a
    connection, and each silence of a server, is limited.
    """
    unused = SSLContext(PROTOCOL_TLS_CLIENT)  # the session has its own; httpx's would take 34 ms
    return httpx.AsyncClient(
        transport=Transport(client=session, verify=unused),
        timeout=httpx.Timeout(settings.http_read_timeout, connect=settings.http_connect_timeout),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        trust_env=False,
    )


def _named(cause: BaseException | None, host: str) -> httpx.TransportError:
    if isinstance(cause, TimeoutError):  # its text has the whole URL, too
        return httpx.ConnectTimeout(f"Cannot connect to host {host} in time")
    kind = httpx.ConnectError if isinstance(cause, ClientConnectorError) else httpx.ReadError
    return kind(str(cause))
