"""The HTTP client for model servers: connections kept and shared by all calls.

aiohttp, because the pool of httpx 0.28 gets slower with each open connection: at 64 connections a
passed-through chat cost 3.8 ms of processor time with it and 0.1 ms with aiohttp.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import (
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)

from engine.settings import Settings

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

Http: TypeAlias = ClientSession
"""The client, as others name its type: nobody else makes one."""

on_new_connection: ContextVar[bool] = ContextVar("on_new_connection", default=True)
"""Whether a connection was made for the request at work."""


new_connection_only: ContextVar[bool] = ContextVar("new_connection_only", default=False)
"""Whether the request at work is not to get a kept one."""


class Connector(TCPConnector):
    """Notes which requests get a new connection, and gives one to those that ask for it."""

    async def _get(self, key: "ConnectionKey", traces: list["Trace"]) -> "Connection | None":
        return None if new_connection_only.get() else await super()._get(key, traces)

    async def _create_connection(
        self, req: ClientRequest, traces: list["Trace"], timeout: ClientTimeout
    ) -> "ResponseHandler":
        on_new_connection.set(True)
        return await super()._create_connection(req, traces, timeout)


async def ask_again(request: ClientRequest, ask: ClientHandlerType) -> ClientResponse:
    """Ask once more, on a new connection, where a kept one ended before an answer's first byte.

    Servers close what is idle at a moment of their own. aiohttp asks again for a GET only.
    """
    on_new_connection.set(False)
    new_connection_only.set(False)
    try:
        return await ask(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        begun = isinstance(error, ServerDisconnectedError) and not isinstance(error.message, str)
        if on_new_connection.get() or begun:
            raise
    new_connection_only.set(True)
    return await ask(request)


@asynccontextmanager
async def open_http(settings: Settings) -> AsyncIterator[Http]:
    """Yield the client.

    An answer may stream for minutes, so only the silence between two reads is limited.
    Cookies are not kept: they would pass from caller to caller.
    """
    timeout = ClientTimeout(
        total=None,
        sock_connect=settings.http_connect_timeout,
        sock_read=settings.http_read_timeout,
    )
    connector = Connector(limit=settings.http_connections, keepalive_timeout=60)
    async with ClientSession(
        connector=connector,
        timeout=timeout,
        cookie_jar=DummyCookieJar(),
        middlewares=[ask_again],
    ) as session:
        yield session
