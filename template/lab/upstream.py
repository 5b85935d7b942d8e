"""What stands around a server: a slow model behind it, an impatient proxy before it."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: text/plain\r\n\r\nOK"
TOO_LATE = b"HTTP/1.1 504 Gateway Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
PIECE = 64 * 1024

Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]


@asynccontextmanager
async def slow_model(seconds: float) -> AsyncIterator[str]:
    """Yield the address of a server that takes so long for each answer."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(seconds)
            writer.write(ANSWER)

    async with _listening(answer) as url:
        yield url


@asynccontextmanager
async def proxy(url: str, patience: float) -> AsyncIterator[str]:
    """Yield the address of a proxy that gives up where nothing has come for `patience` seconds."""
    parts = urlsplit(url)

    async def relay(reader: StreamReader, writer: StreamWriter) -> None:
        theirs, server = await asyncio.open_connection(parts.hostname, parts.port)
        sending = asyncio.create_task(_pump(reader, server))
        try:
            while piece := await asyncio.wait_for(theirs.read(PIECE), patience):
                writer.write(piece)
        except TimeoutError:
            writer.write(TOO_LATE)
        finally:
            sending.cancel()
            server.close()

    async with _listening(relay) as address:
        yield address


@asynccontextmanager
async def _listening(handler: Handler) -> AsyncIterator[str]:
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        connections.add(task := asyncio.ensure_future(_until_closed(handler, reader, writer)))
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _until_closed(handler: Handler, reader: StreamReader, writer: StreamWriter) -> None:
    try:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
    finally:
        writer.close()


async def _pump(reader: StreamReader, writer: StreamWriter) -> None:
    while piece := await reader.read(PIECE):
        writer.write(piece)
