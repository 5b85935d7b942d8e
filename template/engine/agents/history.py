"""The steps of a run as its caller reads them, also while it is under way."""

from typing import Any, Literal

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.responses import store
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.tables import AgentStepRow


class StepObject(BaseModel):
    """A step of an agent: an answer of the model, or a call of a tool. Times have fractions."""

    id: str
    object: Literal["agent.step"] = "agent.step"
    position: int
    kind: Literal["model", "tool"]
    name: str
    """The model or the tool."""
    arguments: str | None
    """Those of a call, as the model wrote them."""
    status: str
    attempt: int
    output: str | list[dict[str, Any]] | None
    """The text of a call, the items of an answer."""
    usage: dict[str, Any] | None
    """Tokens of an answer."""
    started_at: float
    finished_at: float | None
    approval_request_id: str | None
    """The earlier step that a human has approved or denied."""


def page_of_steps(
    session: Session, caller_id: str, response_id: str, query: PageQuery
) -> Page[StepObject]:
    """Return a page of a response's steps, by their positions.

    Raise `NotFound` where this caller has no response of that id.
    """
    store.require_response(session, caller_id, response_id)
    own = AgentStepRow.response_id == response_id
    return page_of(session, AgentStepRow, query, _shown, own, place=AgentStepRow.position)


def _shown(row: AgentStepRow) -> StepObject:
    is_call = row.kind == "tool"
    same = ("id", "position", "kind", "name", "status", "attempt", "started_at", "finished_at")
    output: Any = row.output
    if output is not None:
        output = output.decode() if is_call else msgspec.json.decode(output)
    return StepObject(
        **{name: getattr(row, name) for name in same},
        arguments=row.input.decode() if is_call else None,
        output=output,
        usage=step_usage(row.usage),
        approval_request_id=row.approval_id,
    )


def step_usage(usage: bytes | None) -> dict[str, Any] | None:
    """Return the tokens of a step; None for a call, and where the server told none."""
    return msgspec.json.decode(usage) if usage else None
