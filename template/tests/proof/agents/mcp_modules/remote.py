"""An agent with tools of a remote server."""

import os

from engine.agents.agent import Agent
from engine.agents.mcp import McpServer

AGENT = Agent(
    "remote",
    instructions="Use the shop.",
    mcp=[
        McpServer(
            label="shop",
            url=os.environ.get("MCP_URL", "http://127.0.0.1:9/mcp"),
            approval=["discard"],
            private=True,
            seconds=20.0,
        )
    ],
    model="scripted",
)
