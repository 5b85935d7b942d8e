"""A client's connection, which is cut off where nobody takes the answer."""

import logging
import socket
import struct
from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger(__name__)

LEAST = 16 * 1024
"""Bytes that a reader takes in `send_timeout`. Whoever takes fewer would hold its place for ever by
a byte now and then."""

UNSENT = 128 * 1024
"""Bytes that the kernel keeps ready to be sent. By itself it keeps up to 4 MiB, and would take more
only after a third of them: a reader of 10 kB/s would seem to take nothing for two minutes."""

AT_ONCE = struct.pack("ii", 1, 0)
"""Without it the kernel would still try to deliver what it has."""


class Connection(HttpToolsProtocol):
    """uvicorn's, reset where more waits to be sent than its reader takes.

    To the app its client has gone, to the client its answer has not ended. uvicorn itself would
    wait for ever, also for the end of an answer of which the app is done.
    """

    _check: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Keep what has not been sent here, where it is seen."""
        super().connection_made(transport)
        self._option(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)

    def pause_writing(self) -> None:
        """Watch the reader: more waits than it takes at once."""
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
        log.warning("cut off, since its reader takes too little: %s", self.url.decode("latin-1"))
        self._option(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        self.transport.abort()

    def _option(self, level: int, name: int, value: int | bytes) -> None:
        self.transport.get_extra_info("socket").setsockopt(level, name, value)
