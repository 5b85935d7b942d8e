"""Tokens by caller, day and model, and as batches show them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.models.interface import Usage
from engine.sql.tables import UsageRow

# The same text for SQLite and PostgreSQL: SQLAlchemy's constructs for it differ.
ADD = text("""
    INSERT INTO usage (caller_id, day, model, requests, prompt_tokens, completion_tokens)
    VALUES (:caller_id, :day, :model, :requests, :prompt_tokens, :completion_tokens)
    ON CONFLICT (caller_id, day, model) DO UPDATE SET
        requests = usage.requests + excluded.requests,
        prompt_tokens = usage.prompt_tokens + excluded.prompt_tokens,
        completion_tokens = usage.completion_tokens + excluded.completion_tokens
""")


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests and tokens of one caller on one model."""

    caller_id: str
    model: str
    requests: int
    used: Usage


@dataclass(frozen=True, slots=True)
class DayUsage:
    """Requests and tokens of one model on one day (UTC)."""

    day: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int


class InputTokensDetails(BaseModel):
    """OpenAI's object. Cached tokens are not counted by themselves."""

    cached_tokens: int = 0


class OutputTokensDetails(BaseModel):
    """OpenAI's object. Reasoning tokens are not counted by themselves."""

    reasoning_tokens: int = 0


class UsageObject(BaseModel):
    """OpenAI's object for the tokens of a batch."""

    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


def usage_of_batch(prompt: int | None, completion: int | None) -> UsageObject | None:
    """Return the object, None where no model has answered yet."""
    if prompt is None or completion is None:
        return None
    total = prompt + completion
    return UsageObject(input_tokens=prompt, output_tokens=completion, total_tokens=total)


def add_usage(
    session: Session, caller_id: str, model: str, usage: Usage, *, requests: int = 1
) -> None:
    """Add to today's sum."""
    session.execute(
        ADD,
        {
            "caller_id": caller_id,
            "day": time.strftime("%Y-%m-%d", time.gmtime()),
            "model": model,
            "requests": requests,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
        },
    )


def add_all(session: Session, tallies: Sequence[Tally]) -> None:
    """Add tallies to today's sums."""
    for each in tallies:
        add_usage(session, each.caller_id, each.model, each.used, requests=each.requests)


def by_day(session: Session, caller_id: str, *, days: int) -> list[DayUsage]:
    """Return the caller's sums of the last `days` days that have any, newest first."""
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * 86_400))
    rows = session.scalars(
        select(UsageRow)
        .where(UsageRow.caller_id == caller_id, UsageRow.day > since)
        .order_by(UsageRow.day.desc(), UsageRow.model)
    )
    return [
        DayUsage(row.day, row.model, row.requests, row.prompt_tokens, row.completion_tokens)
        for row in rows
    ]
