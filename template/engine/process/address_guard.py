"""The address guard against SSRF: URLs of callers or models reach public addresses only.

A non-public address may be that of a database, of the cloud's metadata or of this API. So each
address is checked at the moment of its connection.
"""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import partial
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from aiohttp import AddrInfoType, ClientSession, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from anyio import CapacityLimiter

from engine.process.http import Http, http_over
from engine.process.offload import in_thread
from engine.settings import Settings

NOT_PUBLIC = "this is not a public address"

any_address: ContextVar[bool] = ContextVar("any_address", default=False)
"""Whether the request at work may go to any address, since code names it and no caller."""

LOOKUPS = 10
"""Names that are looked up at once."""

UNICAST = ip_network("2000::/3")
"""IPv6 that IANA gives out for global unicast; the rest is local, multicast or unused."""

NAT64 = ip_network("64:ff9b::/96")
"""IPv4 addresses as a network without IPv4 writes them: in the last four bytes (RFC 6052)."""

NEVER = tuple(
    map(
        ip_network,
        (
            "168.63.129.16/32",  # the host of an Azure machine, public by its number only
            "192.0.0.0/24",  # Oracle's metadata service; Python before 3.11.10 calls it global
            "192.88.99.0/24",  # relays to 6to4
            "2001::/23",  # Teredo and other ranges that carry an IPv4 address
            "2002::/16",  # 6to4, which carries one too and is given up (RFC 7526)
            "3fff::/20",  # documentation; Python before 3.13.1 calls it global
        ),
    )
)


def is_public(text: str) -> bool:
    """Return whether this text is a public IP address.

    Private, loopback, link-local, shared (RFC 6598), multicast and reserved addresses are not, nor
    is an IPv6 address that carries such a one. A text that is no address in its usual form is not.
    """
    try:
        address = _meant(ip_address(text))
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address not in UNICAST:
        return False
    never = any(address in network for network in NEVER)
    return address.is_global and not address.is_multicast and not never


class Resolver(AbstractResolver):
    """Looks names up in threads of its own.

    In asyncio's few threads, names without an answer would hold up the names of model servers.
    """

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(LOOKUPS)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of a name; raise `OSError` where it has none."""
        look_up = partial(socket.getaddrinfo, host, port, family=family, type=socket.SOCK_STREAM)
        try:
            found = await in_thread(self._limiter, look_up)
        except UnicodeError as error:
            raise OSError(f"{host} is not a host name") from error
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
    check of the name would miss an address that has changed at the next look-up (DNS rebinding). A
    check by a resolver would miss an address in the URL itself, for which no resolver is asked.
    """
    family, kind, protocol, _, address = target
    if not any_address.get() and not is_public(str(address[0])):
        raise PermissionError(errno.EACCES, NOT_PUBLIC)
    return socket.socket(family, kind, protocol)


@asynccontextmanager
async def open_guarded_http(
    settings: Settings, resolver: AbstractResolver | None = None
) -> AsyncIterator[Http]:
    """Yield the client. It keeps no connection, so the address of each call is checked."""
    connector = TCPConnector(
        resolver=resolver or Resolver(),
        socket_factory=None if settings.webhook_private_addresses else public_socket,
        use_dns_cache=False,
        force_close=True,
    )
    async with ClientSession(connector=connector, cookie_jar=DummyCookieJar()) as session:
        yield http_over(session, settings)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address where an IPv6 one only stands for it."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address
