"""Steps of agents' runs in SQL: planned with the answer that asks for them, begun, ended once.

The id of a planned call is its idempotency key, so it has one before it runs. Each write is fenced
by the run's claim of its job.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from engine.errors import InvalidRequest
from engine.jobs.runs import allow_all_tries
from engine.models.wire import Json, encode_json
from engine.responses import event_log
from engine.responses.event_log import EventGroup
from engine.responses.schema import CONTINUED
from engine.responses.transcript import Transcript
from engine.sql.statements import new_id, rows_changed
from engine.sql.tables import AgentStepRow as Row
from engine.sql.tables import ResponseRow

OPEN = ("planned", "running")
"""States of a call that is still to be run, or to be run again."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A step as its run sees it; the fields are those of the row."""

    id: str
    position: int
    kind: str
    name: str
    input: bytes = b""
    status: str = "planned"
    attempt: int = 0
    output: bytes | None = None
    usage: bytes | None = None
    approval_id: str | None = None
    started_at: float = msgspec.field(default_factory=time.time)

    @property
    def key(self) -> str:
        """The idempotency key of a call, which an approval leaves as it is."""
        return self.approval_id or self.id

    @property
    def items(self) -> list[Json]:
        """The items of a model's answer."""
        found: list[Json] = msgspec.json.decode(self.output or b"[]")
        return found

    @property
    def text(self) -> str:
        """The output of a call."""
        return (self.output or b"").decode()


@dataclass(frozen=True, slots=True)
class CallEnd:
    """The end of a call: `status` is `done`, `failed` or `doubt`."""

    step_id: str
    status: str
    output: str


def read_steps(session: Session, response_id: str) -> list[Step]:
    """Return the steps of a run so far, in their order."""
    rows = select(Row).where(Row.response_id == response_id).order_by(Row.position)
    return [
        Step(**{name: getattr(row, name) for name in Step.__struct_fields__})
        for row in session.scalars(rows)
    ]


def keep_plan(session: Session, group: EventGroup, steps: Sequence[Step]) -> None:
    """Keep an answer of the model and the calls that it asks for, all at once.

    A run that comes on is no poison: its crashes and errors count from here again. Raise
    `LostRunError` where the run has lost its job.
    """
    event_log.append_for_run(session, group)
    _add_steps(session, group.response_id, steps)
    allow_all_tries(session, group.job_id)


def begin_call(session: Session, group: EventGroup, step_id: str) -> None:
    """Note that a call begins, before it has any effect. Raise `LostRunError` as `keep_plan`."""
    event_log.append_for_run(session, group)
    begun = {"status": "running", "attempt": Row.attempt + 1, "started_at": time.time()}
    rows_changed(session, update(Row).where(Row.id == step_id).values(begun))


def end_call(session: Session, group: EventGroup, end: CallEnd) -> None:
    """Keep the output of a call. Raise `LostRunError` as `keep_plan`."""
    event_log.append_for_run(session, group)
    output = end.output.encode()
    ended = {"status": end.status, "output": output, "finished_at": time.time()}
    rows_changed(session, update(Row).where(Row.id == end.step_id).values(ended))
    allow_all_tries(session, group.job_id)


def take_approvals(
    session: Session, caller_id: str, response: ResponseRow, transcript: Transcript
) -> None:
    """Make the answers of a human to the first steps of a run.

    The request stands in the chain, or among the items given, as the AI SDK refers to it. Raise
    `InvalidRequest` for an answer to any other request, or to one that has an answer.
    """
    answers = [item for item in transcript.given if item["type"] == "mcp_approval_response"]
    steps = [
        _answered(_waiting_call(session, caller_id, response, answer, transcript), answer, position)
        for position, answer in enumerate(answers)
    ]
    _add_steps(session, response.id, steps)


def _waiting_call(
    session: Session, caller_id: str, response: ResponseRow, answer: Json, transcript: Transcript
) -> Row:
    asked = str(answer.get("approval_request_id"))
    place = select(Row).join(ResponseRow, ResponseRow.id == Row.response_id)
    mine = ResponseRow.caller_id == caller_id, ResponseRow.model == response.model
    ended = ResponseRow.status.in_(CONTINUED)
    row = session.scalar(place.where(Row.id == asked, *mine, ended).with_for_update(of=Row))
    requests = {i["id"] for i in transcript.given if i["type"] == "mcp_approval_request"}
    if row is None or (row.response_id not in transcript.chain and row.id not in requests):
        message = f"No approval request with id '{asked}' in the conversation that is continued."
        raise InvalidRequest(message, param="input", code="approval_request_not_found")
    if row.status != "approval":
        message = f"The approval request '{asked}' has been answered already."
        raise InvalidRequest(message, param="input", code="approval_request_answered")
    if not isinstance(answer.get("approve"), bool):
        raise InvalidRequest("An approval response has `approve`: true or false.", param="input")
    row.status = "approved" if answer["approve"] else "denied"
    return row


def _answered(row: Row, answer: Json, position: int) -> Step:
    reason = f" They say: {answer['reason']}" if answer.get("reason") else ""
    return Step(
        id=new_id("mcp"),
        position=position,
        kind=row.kind,
        name=row.name,
        input=row.input,
        status="planned" if answer["approve"] else "denied",
        output=None if answer["approve"] else f"A human has denied this call.{reason}".encode(),
        approval_id=row.id,
    )


def _add_steps(session: Session, response_id: str, steps: Sequence[Step]) -> None:
    now = time.time()
    rows = [
        {
            **{name: getattr(step, name) for name in Step.__struct_fields__},
            "response_id": response_id,
            "finished_at": None if step.status in (*OPEN, "approval") else now,
        }
        for step in steps
    ]
    if rows:
        session.execute(insert(Row), rows)


def answer_step(
    position: int,
    model: str,
    items: list[Json],
    usage: Json | None,
    status: str,
    started_at: float,
) -> Step:
    """Return the step of an answer, whose status is `done` or why it was cut off."""
    return Step(
        id=new_id("step"),
        position=position,
        kind="model",
        name=model,
        status=status,
        attempt=1,
        output=encode_json(items),
        usage=encode_json(usage),
        started_at=started_at,
    )
