"""Life cycle of a request: drain, deadline and admission queue. Of the process: a failed start.

Plain ASGI with one `send` for all three, where three layers would wrap it three times.
"""

import asyncio
import sys
from collections.abc import Awaitable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import answer_to
from app.api.streaming import error_event
from engine import deadline
from engine.errors import AppError, InvalidRequest, OpenError, Overloaded, ShuttingDown
from engine.process.drain import Drain
from engine.resources import Resources
from engine.slots.admission_queue import OnFinish
from engine.watch import metrics

EXEMPT = {"/live", "/ready", "/metrics"}
"""Paths that must answer just when the process is full."""

HEADER = b"x-request-timeout"


class LifeCycle:
    """Counts requests for the drain, ends each at its deadline, and sheds load before it is read.

    An answer that begins to stream gives its place in the admission queue back, since it may take
    minutes: streams have bounds of their own. Places that dependencies hold for a request
    (`OnFinish`) are given back here. A refusal costs 20 µs, most of it for its body.
    """

    def __init__(self, app: ASGIApp, longest: float) -> None:
        self.app = app
        self.longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within its header's seconds, or `longest` if that is less.

        One that is cut off by the drain gets a 503, a stream of events a last event.
        """
        if scope["type"] != "http":
            await self.app(scope, receive, _with_reason(send))
            return
        resources: Resources = scope["state"]["resources"]
        reply = Reply(send, resources.drain)
        try:
            async with resources.drain.in_flight():
                try:
                    seconds = min(_wish(scope) or self.longest, self.longest)
                    await self._in_time(seconds, scope, receive, reply)
                except AppError as error:
                    await answer_to(error)(scope, receive, reply.send)
        except ShuttingDown as error:
            if not reply.begun:
                await answer_to(error)(scope, receive, reply.send)
            elif reply.has_events and not reply.ended:
                await send({"type": "http.response.body", "body": error_event(error)})

    async def _in_time(
        self, seconds: float, scope: Scope, receive: Receive, reply: "Reply"
    ) -> None:
        """Cancel a request without an answer at its deadline, and raise `DeadlineExceeded`.

        An answer that has begun goes on as long as its source does and its reader takes it.
        """
        at = asyncio.get_running_loop().time() + seconds
        deadline.ends_at.set(at)
        reply.timeout = timeout = asyncio.timeout_at(at)
        try:
            async with timeout:
                await self._admitted(scope, receive, reply)
        except TimeoutError as error:
            if timeout.expired() and not reply.begun:
                raise deadline.out_of_time() from error
            raise
        finally:
            reply.timeout = None

    async def _admitted(self, scope: Scope, receive: Receive, reply: "Reply") -> None:
        """Wait for a place; raise `Overloaded` with the time to come back."""
        if scope["path"] in EXEMPT:
            await self.app(scope, receive, reply.send)
            return
        queue = scope["state"]["resources"].admission_queue
        try:
            await queue.enter()
        except Overloaded as error:
            metrics.refused.labels(error.code).inc()
            raise
        scope["state"]["on_finish"] = reply.on_finish = [queue.leave]
        try:
            await self.app(scope, receive, reply.send)
        finally:
            for give_back in reply.on_finish:
                give_back()


class Reply:
    """A `send` that tracks its answer: the beginning ends the deadline, an event stream its place.

    During the drain it closes the connection.
    """

    def __init__(self, send: Send, drain: Drain) -> None:
        self._send = send
        self._drain = drain
        self.begun = self.ended = self.has_events = False
        self.timeout: asyncio.Timeout | None = None
        self.on_finish: OnFinish = []
        """What the request holds, its place in the admission queue first."""

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self._begin(message)
        elif not message.get("more_body"):
            self.ended = True
        return self._send(message)

    def _begin(self, start: Message) -> None:
        self.begun = True
        deadline.ends_at.set(None)  # in the sending task: for its reads from now on
        if self.timeout and not self.timeout.expired():  # else the handler has answered it itself
            self.timeout.reschedule(None)
        self.has_events = any(
            name == b"content-type" and value.startswith(b"text/event-stream")
            for name, value in start["headers"]
        )
        if self.has_events and self.on_finish:
            self.on_finish.pop(0)()
        if self._drain.begun.is_set():
            # Else the next request may meet a closed socket.
            MutableHeaders(scope=start)["connection"] = "close"


def _wish(scope: Scope) -> float | None:
    for name, value in scope["headers"]:
        if name == HEADER:
            return _seconds(value)
    return None


def _seconds(value: bytes) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:  # nor is NaN
        message = "X-Request-Timeout must be a number of seconds greater than 0."
        raise InvalidRequest(message, param=HEADER.decode(), code="invalid_timeout")
    return seconds


def _with_reason(send: Send) -> Send:
    """Return a `send` that tells in one sentence why the API does not start.

    Starlette would tell the server a whole traceback.
    """

    async def tell(message: Message) -> None:
        error = sys.exception()
        if message["type"] == "lifespan.startup.failed" and isinstance(error, OpenError):
            message = {**message, "message": str(error)}
        await send(message)

    return tell
