"""Normalises requests: takes a proxy's prefix and surplus slashes away, serves HEAD as GET."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Paths:
    """Plain ASGI: the app sees its own paths, and GET for HEAD; the body is then dropped."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if self.prefix and f"{path}/".startswith(f"{self.prefix}/"):
            path = path.removeprefix(self.prefix)
        path = "/" + "/".join(filter(None, path.split("/")))
        meant = {**scope, "path": path, "root_path": self.prefix}
        if scope["method"] == "HEAD":
            meant["method"] = "GET"
            send = _head_of(send)
        await self.app(meant, receive, send)


def _head_of(send: Send) -> Send:
    """Return a `send` that ends an answer after its head, however long its body would go on."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return send_head
