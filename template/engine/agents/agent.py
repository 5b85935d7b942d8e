"""An agent: instructions, tools and limits, under a name that callers use as a model."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import BaseModel

from engine.agents.mcp import McpServer
from engine.agents.tools import NAME, Tool, ToolFunction, tool
from engine.errors import Misconfigured, PermissionDenied


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent; it is on once `app.features.AGENTS` has it.

    Its prompts and tools may change while runs are under way: these go on with the new ones.
    """

    name: str
    """The model that callers ask for."""
    instructions: str
    tools: Sequence[Tool | ToolFunction] = ()
    mcp: Sequence[McpServer] = ()
    """Remote servers whose tools the agent may use."""
    model: str | None = None
    """The model that answers; None for the app's default one."""
    output: type[BaseModel] | None = None
    """The form of the last answer, as JSON."""
    max_steps: int = 30
    """Answers of the model and calls of tools, in one run."""
    max_tokens: int = 200_000
    """Tokens read and written in one run, looked at before each question to the model."""
    max_seconds: float = 3600.0
    parallel: int = 4
    """Calls of tools at once: the most that a killed worker repeats."""
    flag: str | None = None
    """Feature flag that a caller must have."""
    toolbox: Mapping[str, Tool] = field(init=False)
    """The agent's own tools by their names."""

    def __post_init__(self) -> None:
        own = [each if isinstance(each, Tool) else tool(each) for each in self.tools]
        toolbox = {each.name: each for each in own}
        if len(toolbox) < len(own):
            raise Misconfigured([f"The agent {self.name} has two tools of one name: rename one."])
        if len({server.label for server in self.mcp}) < len(self.mcp):
            reason = "has two MCP servers of one label: rename one."
            raise Misconfigured([f"The agent {self.name} {reason}"])
        if not NAME.fullmatch(self.name):
            reason = "has other signs than letters, digits, - and _: rename it."
            raise Misconfigured([f"The agent {self.name} {reason}"])
        object.__setattr__(self, "toolbox", toolbox)


Agents: TypeAlias = Mapping[str, Agent]
"""Every agent by its name."""


def agent_for_callers(agents: Agents, name: str, flags: Collection[str]) -> Agent | None:
    """Return the agent that a caller names as a model, None for any other model.

    Raise `PermissionDenied` where its flag is lacking.
    """
    agent = agents.get(name)
    if agent is not None and agent.flag is not None and agent.flag not in flags:
        raise PermissionDenied(f"The agent {name} is not switched on for you.")
    return agent
