"""Sorts a support ticket: a function with a prompt and a typed result.

It answers POST /v1/triage (`endpoint.py`) and, since `OPERATIONS` has it, each line of a batch with
that URL, which the worker runs.
"""

from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from engine.errors import ModelUnavailable
from engine.models.interface import Answer, ChatRequest, Message
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operation

PROMPT = """Sort the support ticket. Answer with JSON: the team that should read it (billing,
technical or other), whether it is urgent, and a summary in at most ten words."""


class Ticket(BaseModel):
    """A customer's ticket."""

    text: str = Field(min_length=1, max_length=4000, examples=["I was charged twice this month."])


class Triage(BaseModel):
    """The team, urgency and summary of a ticket."""

    team: Literal["billing", "technical", "other"]
    urgent: bool
    summary: str = Field(max_length=200)


async def triage(model: BoundModel, ticket: Ticket) -> Answer:
    """Return a `Triage` as JSON. Raise `ModelUnavailable` when the model does not give one."""
    answer = await model.complete(
        ChatRequest(
            model=await model.default(),
            messages=[
                Message(role="system", content=PROMPT),
                Message(role="user", content=ticket.text),
            ],
            temperature=0,
            max_tokens=120,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "triage", "schema": Triage.model_json_schema()},
            },
        )
    )
    try:
        result = Triage.model_validate_json(answer.text)
    except ValidationError as error:
        raise ModelUnavailable("The model gave no triage. Try again.") from error
    return Answer(result.model_dump_json().encode(), answer.usage)


TRIAGE = Operation("/v1/triage", Ticket, triage, flag="triage")
