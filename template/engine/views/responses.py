"""Stored responses of all callers, for operators: list, show, cancel."""

from typing import Any

import msgspec
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session, defer

from engine.agents.history import step_usage
from engine.errors import NotFound
from engine.jobs.jobs import Jobs
from engine.responses import background
from engine.sql.tables import AgentStepRow, CallerRow, ResponseItemRow, ResponseRow


class ResponseEntry(BaseModel):
    """One line of the list."""

    id: str
    model: str
    caller: str
    status: str
    background: bool
    created_at: float


class ItemEntry(BaseModel):
    """An item of a response, without its text."""

    id: str
    output: bool
    bytes: int


class StepEntry(BaseModel):
    """A step of an agent, without its text. `seconds` is None while it is under way."""

    position: int
    kind: str
    name: str
    status: str
    attempt: int
    seconds: float | None
    tokens: int | None


class ResponseDetail(ResponseEntry):
    """All about a response but what was said. `used_at` may lag by a day."""

    previous_response_id: str | None
    job_id: str | None
    finished_at: float | None
    used_at: float
    usage: dict[str, Any] | None
    error: dict[str, Any] | None
    items: list[ItemEntry]
    steps: list[StepEntry]


def list_responses(
    session: Session, *, status: str | None, model: str | None, caller: str | None, limit: int
) -> list[ResponseEntry]:
    """Return the newest responses that meet the filters, the newest first."""
    row = ResponseRow
    pairs = ((row.status, status), (row.model, model), (CallerRow.name, caller))
    statement = (
        select(row, CallerRow.name)
        .join(CallerRow, CallerRow.id == row.caller_id)
        .where(*(column == value for column, value in pairs if value is not None))
        .options(defer(row.body), defer(row.request))
        .order_by(row.id.desc())
        .limit(limit)
    )
    return [
        ResponseEntry(
            id=each.id,
            model=each.model,
            caller=name,
            status=each.status,
            background=each.background,
            created_at=each.created_at,
        )
        for each, name in session.execute(statement)
    ]


def show_response(session: Session, response_id: str) -> ResponseDetail:
    """Return all about a response; raise `NotFound` where there is none of that id."""
    row, item, step = _found(session, response_id), ResponseItemRow, AgentStepRow
    items = select(item.id, item.output, func.length(item.data))
    own = items.where(item.response_id == response_id).order_by(item.position)
    taken = select(step).where(step.response_id == response_id)
    taken = taken.options(defer(step.input), defer(step.output))
    body = msgspec.json.decode(row.body)
    return ResponseDetail(
        id=row.id,
        model=row.model,
        caller=session.get_one(CallerRow, row.caller_id).name,
        status=row.status,
        background=row.background,
        created_at=row.created_at,
        previous_response_id=row.previous_id,
        job_id=row.job_id,
        finished_at=row.finished_at,
        used_at=row.used_at,
        usage=body.get("usage"),
        error=body.get("error"),
        items=[
            ItemEntry(id=item_id, output=output, bytes=size)
            for item_id, output, size in session.execute(own)
        ],
        steps=[_step(each) for each in session.scalars(taken.order_by(step.position))],
    )


def cancel_for_caller(session: Session, response_id: str, kinds: Jobs) -> str:
    """Cancel a background response as its caller may, and return its status."""
    row = _found(session, response_id)
    background.cancel_response(session, row.caller_id, row.id, kinds)
    return row.status


def _step(row: AgentStepRow) -> StepEntry:
    ended, usage = row.finished_at, step_usage(row.usage)
    return StepEntry(
        **{name: getattr(row, name) for name in ("position", "kind", "name", "status", "attempt")},
        seconds=round(ended - row.started_at, 3) if ended is not None else None,
        tokens=usage.get("total_tokens") if usage else None,
    )


def _found(session: Session, response_id: str) -> ResponseRow:
    row = session.get(ResponseRow, response_id)
    if row is None:
        raise NotFound(f"There is no response {response_id}: `app responses list` shows them.")
    return row
