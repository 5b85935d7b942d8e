"""The client of MCP servers: the package `mcp` over the app's own connections.

Each call is a session of its own, opened and closed in the task of the call: a worker that dies
takes no session along that the next attempt would need.
"""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2  # noqa: TID251 -- `mcp` takes no other client; its requests go out by the app's own
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import (
    CONNECTION_CLOSED,
    PARSE_ERROR,
    AudioContent,
    BlobResourceContents,
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    ContentBlock,
    DiscoverResult,
    EmbeddedResource,
    ImageContent,
    PaginatedRequestParams,
    ResourceLink,
    TextContent,
    TextResourceContents,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from engine.agents.mcp import McpServer, McpServerError
from engine.agents.tools import ToolCall, ToolError
from engine.models.wire import encode_json
from engine.process.address_guard import NOT_PUBLIC, any_address
from engine.process.http import Http
from engine.resources import Resources
from engine.watch.telemetry import traceparent

log = logging.getLogger(__name__)

for chatty in ("httpx2", "mcp"):  # at INFO they write the URL of each request, and session ids
    logging.getLogger(chatty).setLevel(logging.WARNING)

MOST_BYTES = 4 * 1024 * 1024
"""Longest answer that is read from a server."""

MOST_PAGES = 20
"""Pages of a list of tools that are read."""

CLOSING_SECONDS = 5.0
"""Longest wait for the end of a session, when the call has its answer."""

LATER = 5.0
"""Seconds after which a server that is away is asked again."""

KEY = "idempotencyKey"
"""Where a call's `_meta` has its key. The protocol has no name for it yet; its proposals and
servers that know such keys have this one."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The tools of a server, and its version of the protocol, so that no call asks for it again."""

    tools: list[Tool]
    mode: str = "auto"
    discovered: DiscoverResult | None = None


async def list_remote_tools(resources: Resources, server: McpServer) -> Listing:
    """Return the tools of a server, as they were some minutes ago at most.

    Raise `McpServerError` where they cannot be read.
    """
    headers = _headers(server, resources)
    key = server.url, server.private, *sorted(headers.items())
    listing: Listing = await resources.mcp_listings.get(key, lambda: _list(resources, server))
    return listing


async def _list(resources: Resources, server: McpServer) -> Listing:
    tools: list[Tool] = []
    async with _session(resources, server, Listing([])) as client:
        cursor = None
        for _ in range(MOST_PAGES):
            page = await client.session.list_tools(params=PaginatedRequestParams(cursor=cursor))
            tools += page.tools
            cursor = page.next_cursor
            if not cursor:
                break
        version = client.protocol_version
        mode = version if version in MODERN_PROTOCOL_VERSIONS else "legacy"
        return Listing(tools, mode, client.session.discover_result)


async def call_remote_tool(
    server: McpServer, listing: Listing, name: str, call: ToolCall, arguments: str
) -> str:
    """Return the result of a call as text.

    Raise `ToolError` where the tool fails, `McpServerError` where its server does.
    """
    meta: dict[str, Any] = {KEY: call.key}
    if parent := traceparent.get():
        meta["traceparent"] = parent
    params = CallToolRequestParams(name=name, arguments=_object(arguments), _meta=meta)
    async with _session(call.resources, server, listing) as client:
        # Not `client.call_tool`: it would list the tools again after each call, for their schemas.
        result = await client.session.send_request(CallToolRequest(params=params), CallToolResult)
    told = _text(result)
    if result.is_error:
        raise ToolError(told or f"The tool {name} failed.")
    return told or "Done."


@asynccontextmanager
async def _session(
    resources: Resources, server: McpServer, listing: Listing
) -> AsyncIterator[Client]:
    """Yield a session with a server. Raise `McpServerError` where it breaks."""
    transport = OwnTransport(resources.guarded_http, private=server.private)
    limits = httpx2.Timeout(None, connect=resources.settings.http_connect_timeout)
    headers = {**_headers(server, resources), "accept-encoding": "identity"}
    try:
        async with (
            asyncio.timeout(server.seconds),
            httpx2.AsyncClient(
                transport=transport, headers=headers, timeout=limits, trust_env=False
            ) as http,
            Client(
                streamable_http_client(server.url, http_client=http, max_sse_event_size=MOST_BYTES),
                mode=listing.mode,
                prior_discover=listing.discovered,
                cache=None,
            ) as client,
        ):
            yield client
    except Exception as error:
        raise _failure(server, transport, error) from error


class OwnTransport(httpx2.AsyncBaseTransport):
    """Sends each request of httpx2 by the guarded client, which checks where it connects to."""

    def __init__(self, http: Http, *, private: bool) -> None:
        self._http = http
        self._private = private
        self.status = 200
        """Status of the last answer to a message."""
        self.refusal: str | None = None
        """Why an answer is not read."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Return the answer of a server; raise an error of httpx where there is none."""
        timeout = dict(request.extensions["timeout"])
        if request.method == "DELETE":
            timeout["read"] = CLOSING_SECONDS
        sent = self._http.build_request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            content=await request.aread(),
            extensions={"timeout": timeout},
        )
        any_address.set(self._private)
        answer = await self._http.send(sent, stream=True)
        if request.method == "POST":
            self.status = answer.status_code
        return httpx2.Response(
            answer.status_code, headers=answer.headers.raw, stream=BoundedBody(answer, self.refuse)
        )

    def refuse(self, reason: str) -> Exception:
        """Return the error of an answer that is not read, which the package may not pass on."""
        self.refusal = reason
        return httpx.ReadError(reason)


class BoundedBody(httpx2.AsyncByteStream):
    """The body of an answer, up to `MOST_BYTES`."""

    def __init__(self, answer: httpx.Response, refuse: Callable[[str], Exception]) -> None:
        self._answer = answer
        self._refuse = refuse

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if "content-encoding" in self._answer.headers:
            raise self._refuse("packs its answers, though it is asked not to")
        left = MOST_BYTES
        async for chunk in self._answer.aiter_raw():
            left -= len(chunk)
            if left < 0:
                raise self._refuse(f"gives an answer of more than {MOST_BYTES} bytes")
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back."""
        await self._answer.aclose()


def _failure(server: McpServer, transport: OwnTransport, error: Exception) -> McpServerError:
    """Return the failure of a server in a sentence: would it answer later, may a call have run?"""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    log.warning("the MCP server %s failed", server.label, exc_info=error)
    told, later, doubt, status = "gives no readable answer", False, True, transport.status
    match error:
        case _ if transport.refusal:
            told = transport.refusal
        case _ if status >= 400:
            said = f": {error.message}" if isinstance(error, MCPError) else ""
            told, doubt = f"answers with HTTP status {status}{said}", status >= 500
            later = doubt or status == 429
        case TimeoutError():
            told, later = f"does not answer within {server.seconds:g} s", True
        case httpx.ConnectError() if NOT_PUBLIC in str(error):
            told, doubt = "has no public address: set `private=True` if that is meant", False
        case httpx.ConnectError() | httpx.ConnectTimeout():
            told, later, doubt = "cannot be reached", True, False
        case MCPError(code=code) if code not in (CONNECTION_CLOSED, PARSE_ERROR):
            told, doubt = f"refuses this: {error.message}", False
        case MCPError() | httpx.HTTPError():
            told, later = "breaks off its answer", True
    message = f"The MCP server {server.label} {told}."
    return McpServerError(message, retry_after=LATER if later else None, doubt=doubt)


def _headers(server: McpServer, resources: Resources) -> Mapping[str, str]:
    return server.headers(resources.settings) if server.headers else {}


def _object(arguments: str) -> dict[str, Any]:
    """Return the arguments, which the server checks. Raise `ToolError` where they are no object."""
    try:
        found = json.loads(arguments or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ToolError("The arguments do not fit: they are no JSON object.")
    return found


def _text(result: CallToolResult) -> str:
    """Return what the model reads of a result: texts, JSON, and a note on each other content."""
    told = "\n".join(_content(block) for block in result.content)
    data = result.structured_content
    if data is None or _says_the_same(told, data):
        return told
    return "\n".join(filter(None, (told, encode_json(data).decode())))


def _says_the_same(told: str, data: object) -> bool:
    """Whether the texts are the structured content, which servers repeat for older clients."""
    try:
        read = json.loads(told)
    except ValueError:
        read = told
    wrapped = list(data.values()) if isinstance(data, dict) and len(data) == 1 else []
    return any(each in (data, *wrapped) for each in (told, read))


def _content(block: ContentBlock) -> str:
    match block:
        case TextContent(text=text) | EmbeddedResource(resource=TextResourceContents(text=text)):
            return str(text)
        case ResourceLink(name=name, uri=uri):
            return f"[{name}: {uri}]"
        case (
            ImageContent(mime_type=kind, data=data)
            | AudioContent(mime_type=kind, data=data)
            | EmbeddedResource(resource=BlobResourceContents(mime_type=kind, blob=data))
        ):
            size = len(data) * 3 // 4 - data[-2:].count("=")
            return f"[{kind or 'a file'}, {size} bytes, left out]"
    return "[left out]"
