"""Refuses bodies that are too large, while they arrive.

Starlette's own limit answers in plain text; this one ends in the same envelope as every error.
"""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class BodyLimit:
    """Plain ASGI: at most `limit` bytes for each request, or the limit of its path in `limits`."""

    def __init__(self, app: ASGIApp, limit: int, limits: Mapping[str, int]) -> None:
        self.app = app
        self.limit = limit
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; reading more than the limit raises a 413 where it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = self.limits.get(scope["path"], self.limit)
        announced = _announced(scope)
        if announced is not None and announced <= limit:
            await self.app(scope, receive, send)  # the server passes no more than that
            return
        received = announced or 0

        async def limited() -> Message:
            nonlocal received
            if received > limit:
                raise _too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, limited, send)


def _announced(scope: Scope) -> int | None:
    headers = dict(scope["headers"])
    length = headers.get(b"content-length", b"")
    # Chunked encoding overrides a length beside it: RFC 9112, 6.3.
    return int(length) if length.isdigit() and b"transfer-encoding" not in headers else None


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request body may have at most {limit} bytes.")
