"""A real MCP server on loopback, in a thread: the server side of the package, with a shop's tools.

It notes each message and each call. A `legacy` one speaks the protocol as it was before 2026.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from anyio.from_thread import start_blocking_portal
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PICTURE = b"\x89PNG" + bytes(1230)


class Order(BaseModel):
    order: int
    open: bool


@dataclass
class Shop:
    """What the server has seen."""

    url: str = ""
    messages: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """Of each message its method, its headers and its body."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Of each call its tool and its `_meta`."""
    held: bool = False
    """Whether tools that are noted and ends of sessions wait, until the client has gone."""
    busy: bool = False
    """Whether it answers each message with 503."""
    broken: bool = False
    """Whether it ends each answer in its midst."""
    token: str | None = None
    """Token without which it answers nothing."""
    left: int = 0
    """Calls that were cancelled."""
    ended: int = 0
    """Sessions that clients have ended."""

    def keys(self, tool: str) -> list[Any]:
        """Return the key of each call of a tool."""
        return [meta.get("idempotencyKey") for name, meta in self.calls if name == tool]

    def methods(self) -> list[str]:
        """Return the methods of all messages."""
        return [method for method, *_ in self.messages]


def _tools(shop: Shop) -> MCPServer:
    async def begin(name: str, context: Context) -> None:
        shop.calls.append((name, dict(context.request_context.meta or {})))
        try:
            while shop.held:  # noqa: ASYNC110 -- set from another thread
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            shop.left += 1
            raise

    async def find(order: int, ctx: Context) -> Order:
        """Find an order."""
        await begin("find", ctx)
        return Order(order=order, open=True)

    async def pay(cents: int, ctx: Context) -> str:
        """Pay, once for each key."""
        await begin("pay", ctx)
        return f"paid {cents}"

    async def mail(ctx: Context) -> str:
        """Send a mail, at each call."""
        await begin("mail", ctx)
        return "sent"

    async def discard(order: int, ctx: Context) -> str:
        """Throw an order away."""
        await begin("discard", ctx)
        return f"no order {order} any more"

    server = MCPServer("shop")
    server.add_tool(find, annotations=ToolAnnotations(read_only_hint=True))
    server.add_tool(pay, annotations=ToolAnnotations(idempotent_hint=True))
    for each in (mail, discard, refuse, talk):
        server.add_tool(each)
    server.add_tool(look, structured_output=False)
    server.add_tool(talk, name="a.tool/of 70 signs" + "s" * 52)
    return server


async def refuse() -> str:
    """Fail."""
    raise ToolError("the shop is closed")


async def talk(size: int) -> str:
    """Say much."""
    return "x" * size


async def look() -> list[Any]:
    """Show a picture."""
    return ["A picture:", Image(data=PICTURE, format="png")]


def noting(app: ASGIApp, shop: Shop, *, legacy: bool) -> ASGIApp:
    """Return the app behind a note of each message, and behind its token."""

    async def noted(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await _note_end(shop, scope)
            await app(scope, receive, send)
            return
        body = await _body(receive)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        method = json.loads(body)["method"]
        shop.messages.append((method, headers, body.decode()))
        if status := _refusal(shop, headers, new=legacy and method == "server/discover"):
            await _answer(send, status)
            return
        if shop.broken:
            await _break_off(send)
        given = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Message:
            return next(given, None) or await receive()

        await app(scope, again, send)

    return noted


async def _note_end(shop: Shop, scope: Scope) -> None:
    if scope.get("method") == "DELETE":
        shop.ended += 1
        while shop.held:  # noqa: ASYNC110 -- as above
            await asyncio.sleep(0.02)


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


def _refusal(shop: Shop, headers: dict[str, str], *, new: bool) -> int | None:
    """Return the status with which a message is refused, None where it is not."""
    if shop.token and headers.get("authorization") != f"Bearer {shop.token}":
        return 401
    if shop.busy:
        return 503
    return 404 if new else None


async def _break_off(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"content-length", b"99")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    raise ConnectionAbortedError


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@contextmanager
def running_shop(*, legacy: bool = False, json_response: bool = False) -> Iterator[Shop]:
    """Yield a server; it ends with the block."""
    shop = Shop()
    handlers, level = logging.root.handlers[:], logging.root.level
    app = _tools(shop).streamable_http_app(json_response=json_response)
    logging.root.handlers[:] = handlers  # the package has put its own in their place
    logging.root.setLevel(level)
    config = uvicorn.Config(
        noting(app, shop, legacy=legacy),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening, start_blocking_portal() as portal:
        shop.url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
        serving = portal.start_task_soon(server.serve, [listening])
        try:
            yield shop
        finally:
            shop.held, server.should_exit = False, True
            serving.result(10)
