"""A network that falls silent: connections stay, and nothing goes through them any more."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from anyio.from_thread import BlockingPortal, start_blocking_portal
from sqlalchemy import make_url

from tests.isolation import own_server


class Wire:
    """Passes on what two sides tell each other, until it is cut; nobody is told of that."""

    def __init__(self, portal: BlockingPortal, port: int) -> None:
        self._portal = portal
        self._server = port
        self._whole = asyncio.Event()
        self._whole.set()
        self._near: set[asyncio.StreamWriter] = set()
        self.port = 0

    def cut(self) -> None:
        """Take everything from now on, also new connections, and give nothing."""
        self._portal.call(self._whole.clear)

    def mend(self) -> None:
        """Pass on what has been taken, and all that comes."""
        self._portal.call(self._whole.set)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Wire"]:
        """Listen on a port of its own."""
        server = await asyncio.start_server(self._connect, "127.0.0.1")
        self.port = server.sockets[0].getsockname()[1]
        own_server(self.port)
        async with server:
            yield self
            for writer in self._near:
                writer.close()

    async def _connect(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._near.add(back)
        with suppress(OSError, asyncio.CancelledError):
            far, forth = await asyncio.open_connection("127.0.0.1", self._server)
            await asyncio.gather(self._pass_on(near, forth), self._pass_on(far, back))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(2**16):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
            await self._whole.wait()
        finally:
            writer.close()


@contextmanager
def wire_to(url: str) -> Iterator[tuple[Wire, str]]:
    """Yield a wire to the server of this URL, and the URL of its near end."""
    parsed = make_url(url)
    with start_blocking_portal() as portal:
        wire = portal.call(_made, portal, parsed.port or 0)
        with portal.wrap_async_context_manager(wire.serving()):
            near = parsed.set(port=wire.port)
            yield wire, near.render_as_string(hide_password=False)
            wire.mend()


async def _made(portal: BlockingPortal, port: int) -> Wire:
    return Wire(portal, port)
