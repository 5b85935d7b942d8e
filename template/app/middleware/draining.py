"""Drain: counts requests in flight, and answers the ones that the end of the process cuts off."""

from collections.abc import Awaitable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import answer_to
from app.api.streaming import error_event
from engine.errors import ShuttingDown
from engine.process.drain import Drain
from engine.resources import Resources


class Draining:
    """Plain ASGI around every request, so that no endpoint has to handle a drain."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. One that is cut off gets a 503, a stream of events a last event."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        resources: Resources = scope["state"]["resources"]
        answer = Answer(send, resources.drain)
        try:
            async with resources.drain.in_flight():
                await self.app(scope, receive, answer.send)
        except ShuttingDown as error:
            if not answer.begun:
                await answer_to(error)(scope, receive, answer.send)
            elif answer.has_events and not answer.ended:
                await send({"type": "http.response.body", "body": error_event(error)})


class Answer:
    """A `send` that tracks the state of its answer, and closes its connection during the drain."""

    def __init__(self, send: Send, drain: Drain) -> None:
        self._send = send
        self._drain = drain
        self.begun = self.ended = self.has_events = False

    def send(self, message: Message) -> Awaitable[None]:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            self.has_events = headers.get("content-type", "").startswith("text/event-stream")
            if self._drain.begun.is_set():
                headers["connection"] = "close"  # else the next request may meet a closed socket
        elif not message.get("more_body"):
            self.ended = True
        return self._send(message)
