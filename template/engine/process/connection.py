"""Slow-reader protection: cuts off a connection with a client that does not read its answer."""

import logging
import socket
import struct
from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

LEAST = 16 * 1024
"""Bytes that a client must read in `send_timeout`. Without this minimum it could hold its place for
ever by a byte now and then."""

UNSENT = 128 * 1024
"""Bytes that the kernel keeps ready to be sent. By itself it keeps up to 4 MiB, and would take more
only after a third of them: a reader of 10 kB/s would seem to take nothing for two minutes."""

AT_ONCE = struct.pack("ii", 1, 0)
"""`SO_LINGER` of 0 s: without it the kernel would still try to deliver its unsent bytes."""


class Connection(HttpToolsProtocol):
    """uvicorn's connection, reset where its client reads less than `LEAST` in `send_timeout`.

    The app then sees a client that has gone; the client sees an answer that has not ended. uvicorn
    itself would wait for ever, also after the app has produced the whole answer.
    """

    _check: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Keep unsent bytes in this process instead of the kernel, so that they can be counted."""
        super().connection_made(transport)
        self._option(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def pause_writing(self) -> None:
        """Watch the client: it does not read as fast as the app writes."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Watch no more; uvicorn calls this too when the connection has ended."""
        super().resume_writing()
        if self._check:
            self._check.cancel()

    def _watch(self) -> None:
        seconds = self.app_state["resources"].settings.send_timeout
        waiting = self.transport.get_write_buffer_size()
        self._check = self.loop.call_later(seconds, self._take_stock, waiting)

    def _take_stock(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() >= LEAST:
            self._watch()
            return
        log.warning("connection reset, its client reads too slowly: %s", self.url.decode("latin-1"))
        self._option(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def _option(self, level: int, name: int, value: int | bytes) -> None:
        self.transport.get_extra_info("socket").setsockopt(level, name, value)
