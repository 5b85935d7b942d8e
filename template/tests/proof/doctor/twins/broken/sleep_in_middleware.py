"""A blocking sleep in ASGI middleware."""

import time

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send


class Slowing:
    """Slows all requests down."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait, then go on."""
        time.sleep(0.1)  # caught by doctor EX100
        await self.app(scope, receive, send)


app = FastAPI()
app.add_middleware(Slowing)
