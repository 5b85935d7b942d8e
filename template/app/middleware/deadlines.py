"""Gives each request one deadline, before anything else is done for it."""

import asyncio
from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import answer_to
from engine import deadline
from engine.errors import AppError, InvalidRequest

HEADER = b"x-request-timeout"


class Deadlines:
    """Plain ASGI: cancels a request without an answer at its deadline, and answers 504.

    An answer that has begun goes on as long as its source does and its reader takes it.
    """

    def __init__(self, app: ASGIApp, longest: float) -> None:
        self.app = app
        self.longest = longest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request within its header's seconds, or `longest` if that is less."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            seconds = min(_wish(scope) or self.longest, self.longest)
            await self._serve(seconds, scope, receive, send)
        except AppError as error:
            await answer_to(error)(scope, receive, send)

    async def _serve(self, seconds: float, scope: Scope, receive: Receive, send: Send) -> None:
        at = asyncio.get_running_loop().time() + seconds
        deadline.ends_at.set(at)
        timeout = asyncio.timeout_at(at)
        begun = False

        def begin(message: Message) -> Awaitable[None]:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                deadline.ends_at.set(None)  # in the sending task: for its reads from now on
                if not timeout.expired():  # else the handler itself has answered the timeout
                    timeout.reschedule(None)
            return send(message)

        try:
            async with timeout:
                await self.app(scope, receive, begin)
        except TimeoutError as error:
            if timeout.expired() and not begun:
                raise deadline.out_of_time() from error
            raise


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
