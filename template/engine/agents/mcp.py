"""Remote MCP servers, whose tools an agent may call."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.agents.tools import Tool
from engine.resources import Resources


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server of the team's choice, never of a caller's."""

    label: str
    url: str
    allowed: Sequence[str] = ()


async def remote_tools(_servers: Sequence[McpServer], _resources: Resources) -> Mapping[str, Tool]:
    """Return the allowed tools of the servers by their names."""
    return {}
