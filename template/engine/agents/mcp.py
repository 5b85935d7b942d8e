"""Remote MCP servers, whose tools an agent may call.

The package `mcp` is optional: `mcp_client` alone imports it, once an agent with a server runs.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from engine.agents.tools import IN_DOUBT, MARK, Tool, ToolCall, ToolError
from engine.errors import Misconfigured, OpenError
from engine.process.concurrency import bounded_map
from engine.resources import Resources

if TYPE_CHECKING:
    from engine.agents.mcp_client import Listing

CLIENT = "engine.agents.mcp_client"

LABEL = re.compile("[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*")

OTHER_SIGNS = re.compile("[^A-Za-z0-9_-]")
LONGEST_NAME = 64
"""Signs that model servers do not take in the name of a tool, and the most that they take."""


class McpServerError(ToolError):
    """An MCP server cannot be used, now or as it is; the message names it."""

    code = "mcp_server_error"

    def __init__(
        self, message: str, *, retry_after: float | None = None, doubt: bool = False
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.doubt = doubt
        """Whether the call may have been run all the same."""


@dataclass(frozen=True, slots=True)
class McpServer:
    """An MCP server of the team's choice, never of a caller's, over streamable HTTP.

    It describes its tools itself: `allowed`, `approval` and `repeat` are the team's own word.
    """

    label: str
    """Callers see it as `server_label`; for the model it stands before the names of the tools."""
    url: str
    _: KW_ONLY
    allowed: Collection[str] | None = None
    """Tools that the model may call; None for all."""
    approval: bool | Collection[str] = False
    """Whether a human must agree to each call; a list names the tools for which one must."""
    repeat: Collection[str] | None = None
    """Tools of which a call may run again whose worker died in its midst; None for those that the
    server itself calls read-only or idempotent."""
    headers: Callable[[Any], Mapping[str, str]] | None = None
    """Returns the headers of each request from the settings, which hold the server's token."""
    private: bool = False
    """Whether the server may have an address that is not public."""
    seconds: float = 60.0
    """Longest time of one call."""

    def __post_init__(self) -> None:
        if not LABEL.fullmatch(self.label) or len(self.label) > LONGEST_NAME // 2:
            most = f"at most {LONGEST_NAME // 2} letters, digits, - and single _ between them"
            raise Misconfigured([f"The MCP server {self.label} needs a label of {most}."])

    def tool_name(self, name: str) -> str:
        """Return the name of a tool as the model has it."""
        return OTHER_SIGNS.sub("_", f"{self.label}{MARK}{name}")[:LONGEST_NAME]

    def needs_approval(self, name: str) -> bool:
        """Return whether a human must agree to a call of this tool."""
        return self.approval if isinstance(self.approval, bool) else name in self.approval


def require_mcp() -> None:
    """Raise `OpenError` where the package that speaks with MCP servers is not installed."""
    if find_spec("mcp") is None:
        told = "An agent has an MCP server, but the package `mcp` is not installed"
        raise OpenError(f"{told}: run `uv sync --group mcp`.")


async def remote_tools(servers: Sequence[McpServer], resources: Resources) -> Mapping[str, Tool]:
    """Return the allowed tools of the servers by their names.

    Raise `McpServerError` where a server cannot be asked, or has two tools of one name.
    """
    if not servers:
        return {}
    client = await resources.offload.in_thread(import_module, CLIENT)  # takes 0.8 s
    listings = await bounded_map(
        partial(client.list_remote_tools, resources), servers, limit=len(servers)
    )
    toolbox: dict[str, Tool] = {}
    for server, listing in zip(servers, listings, strict=True):
        for tool in _tools(client, server, listing):
            if tool.name in toolbox:
                told = f"The MCP server {server.label} has two tools that are named {tool.name}"
                raise McpServerError(f"{told}: name one of them in `allowed`.")
            toolbox[tool.name] = tool
    return toolbox


def _tools(client: Any, server: McpServer, listing: "Listing") -> Iterator[Tool]:  # noqa: ANN401 -- the module
    for each in listing.tools:
        if server.allowed is not None and each.name not in server.allowed:
            continue
        hints = each.annotations
        harmless = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
        repeat = harmless if server.repeat is None else each.name in server.repeat
        call = partial(client.call_remote_tool, server, listing, each.name)
        yield Tool(
            name=server.tool_name(each.name),
            description=each.description or each.name,
            parameters=each.input_schema,
            run=call if repeat else partial(_call_once, call),
            approval=server.needs_approval(each.name),
            repeat=repeat,
            seconds=server.seconds,
        )


async def _call_once(run: Callable[[ToolCall, str], Any], call: ToolCall, arguments: str) -> object:
    """Return the result of a call that must not run twice; say where it may have run."""
    try:
        return await run(call, arguments)
    except McpServerError as error:
        raise McpServerError(
            f"{error.message} {IN_DOUBT}" if error.doubt else error.message
        ) from error
