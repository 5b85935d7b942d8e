"""The HTTP client for the receivers of webhooks, whose addresses the callers choose.

What callers choose may lead inside: to a database, to the metadata of the cloud, to this API. So
every address is checked, and no answer is read or followed.
"""

import errno
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from aiohttp import (
    AddrInfoType,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio import CapacityLimiter

from engine.process.address_guard import is_public
from engine.process.offload import in_thread
from engine.settings import Settings

NOT_PUBLIC = "this is not a public address"

LOOKUPS = 10
"""Names that are looked up at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered. `retry_after` is in seconds, 0 where it did not say."""

    status: int
    retry_after: float


class WebhookClient:
    """Sends to addresses that callers have chosen."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Return the status of the answer, whose body is not read; a redirect is an answer too.

        Raise `TimeoutError` after `webhook_timeout` in all, and what aiohttp raises where there is
        no answer or the address is not public.
        """
        async with self._session.post(
            url, data=body, headers=headers, allow_redirects=False
        ) as response:
            return Reply(response.status, _seconds(response.headers.get("retry-after", "0")))


class Resolver(AbstractResolver):
    """Looks names up in threads of its own.

    In asyncio's few threads, names that nobody answers for would hold up those of model servers.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise `OSError` where it has none."""
        found = await in_thread(
            self._limiter, socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM
        )
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=proto, flags=0
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        """Do nothing: threads end by themselves."""


def public_socket(target: AddrInfoType) -> socket.socket:
    """Return a socket for this address; raise `PermissionError` where it is not public.

    aiohttp asks for it with the very address that it connects to next, wherever that came from. A
    check of the name would miss one that is looked up again and has changed; a check by a resolver
    would miss addresses that stand in the URL itself, for which none is asked.
    """
    family, kind, protocol, _, address = target
    if not is_public(str(address[0])):
        raise PermissionError(errno.EACCES, NOT_PUBLIC)
    return socket.socket(family, kind, protocol)


@asynccontextmanager
async def open_webhook_client(
    settings: Settings, resolver: AbstractResolver | None = None
) -> AsyncIterator[WebhookClient]:
    """Yield the client. No connection is kept, so every call is checked anew."""
    connector = TCPConnector(
        resolver=resolver or Resolver(),
        socket_factory=None if settings.webhook_private_addresses else public_socket,
        use_dns_cache=False,
        force_close=True,
    )
    async with ClientSession(
        connector=connector,
        timeout=ClientTimeout(total=settings.webhook_timeout),
        cookie_jar=DummyCookieJar(),
        headers={"user-agent": f"{settings.service_slug}-webhooks"},
        auto_decompress=False,
    ) as session:
        yield WebhookClient(session)


def _seconds(retry_after: str) -> float:
    """Return what `Retry-After` says in either of its forms (RFC 9110), 0 where it is neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
