"""Tells in one sentence why the API does not start."""

import sys

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.errors import OpenError


class Startup:
    """Plain ASGI around the lifespan: Starlette would tell the server a whole traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but the reason of a failed start."""
        if scope["type"] != "lifespan":
            await self.app(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, OpenError):
                message = {**message, "message": str(error)}
            await send(message)

        await self.app(scope, receive, tell)
