"""The events of an agent's run: of each answer its texts, of each call an item of its own.

Clients take a call for one that a server has run already, since it is an `mcp_call`; the request
for an approval is an `mcp_approval_request`.
"""

import msgspec

from engine.agents.steps import Step
from engine.agents.tools import IN_DOUBT, MARK
from engine.errors import AppError
from engine.models.wire import Json, data_of
from engine.responses.native import Relay

CALLS = ("mcp_call", "mcp_approval_request")
STATES = {"done": "completed", "failed": "failed", "denied": "failed", "doubt": "failed"}
STATES |= {"endless": "failed"}
"""State of a call's item by that of its step. The output tells the reason."""

UNDONE = {"planned": "This was not run: the run ended before it.", "running": IN_DOUBT}
"""The output of a call at whose turn, or in whose midst, the run ended."""


class AgentEvents(Relay):
    """Makes one response of many answers. Its output is kept in the steps, not here."""

    def __init__(self, response: Json) -> None:
        super().__init__(response)
        self._places: dict[str, int] = {}
        self._turn: dict[int, int] = {}

    def begin_turn(self) -> None:
        """Expect the events of another answer, whose indexes begin at 0 again."""
        self._turn = {}

    def relay(self, events: bytes) -> bytes:
        """Return the events of an answer in their places here, without those of its calls."""
        for data in data_of(events):
            event = msgspec.json.decode(data)
            place, item = event.get("output_index"), event.get("item")
            if event["type"] == "response.output_item.added" and item["type"] != "function_call":
                self._turn[place] = self._first
            if place in self._turn:
                told = {**event, "output_index": self._turn[place]}
                kind = str(told.pop("type")).removeprefix("response.")
                told.pop("sequence_number")
                self._event(kind, **told)
                super().replay({**event, **told, "sequence_number": self.sequence - 1})
        return self._taken()

    def plan(self, step: Step) -> bytes:
        """Return the events of a call that is to be run, or that waits for a human."""
        at = {"item_id": step.id, "output_index": self._first}
        self._places[step.id] = self._first
        self._first += 1
        item = call_item(step, self.response["model"])
        if step.status == "approval":
            self._event("output_item.added", output_index=at["output_index"], item=item)
            self._event("output_item.done", output_index=at["output_index"], item=item)
            return self._taken()
        begun = {**item, "arguments": "", "output": None, "status": "in_progress"}
        self._event("output_item.added", output_index=at["output_index"], item=begun)
        self._event("mcp_call.in_progress", **at)
        self._event("mcp_call_arguments.delta", **at, delta=item["arguments"])
        self._event("mcp_call_arguments.done", **at, arguments=item["arguments"])
        return self._taken()

    def finish_call(self, step: Step) -> bytes:
        """Return the events of the end of a call, or of one that the run ends before."""
        item, place = call_item(step, self.response["model"]), self._places[step.id]
        if item["status"] != "incomplete":
            self._event(f"mcp_call.{item['status']}", item_id=step.id, output_index=place)
        self._event("output_item.done", output_index=place, item=item)
        return self._taken()

    def replay(self, event: Json) -> None:
        """Take over an event of an earlier attempt. Its calls are open still."""
        item = event.get("item") or {}
        if item.get("type") in CALLS:
            self._places[item["id"]] = event["output_index"]
            self._first = max(self._first, event["output_index"] + 1)
            self.sequence = event["sequence_number"] + 1
        elif "mcp_call" in event["type"]:
            self.sequence = event["sequence_number"] + 1
        else:
            super().replay(event)

    def settle(
        self, output: list[Json], usage: Json, cut: str | None, error: AppError | None
    ) -> bytes:
        """Give the response its output, and its end: whole, cut off for a reason, or failed."""
        self._close("incomplete")
        self._settle(cut)
        ending = self.fail(error) if error else self._taken()
        self.response |= {"output": output, "usage": usage}
        return ending


def call_item(step: Step, agent: str) -> Json:
    """Return the item of a call: of a tool of an MCP server, or of the agent's own."""
    server, mark, name = step.name.partition(MARK)
    item = {
        "id": step.id,
        "type": "mcp_call",
        "server_label": server if mark else agent,
        "name": name if mark else step.name,
        "arguments": step.input.decode(),
    }
    if step.status == "approval":
        return {**item, "type": "mcp_approval_request"}
    return {
        **item,
        "status": STATES.get(step.status, "incomplete"),
        "output": UNDONE.get(step.status, step.text),
        "error": None,
        "approval_request_id": step.approval_id,
    }
