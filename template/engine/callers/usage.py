"""Usage: tokens by caller, day and model, through a write-behind buffer.

One transaction writes the sums of many calls.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from engine.errors import Overloaded
from engine.models.interface import Usage
from engine.process.tasks import Background
from engine.process.tokenizer import Tokenizer
from engine.sql.database import Database
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


log = logging.getLogger(__name__)

GATHER_SECONDS = 0.1
"""Seconds in which counts gather; a killed process loses the counts of this time. A transaction for
each answer cost an eighth of the processor time of a passed-through chat."""


@dataclass(slots=True)
class UsageBuffer:
    """Sums by caller and model. A background task writes them soon after the first."""

    database: Database
    tokenizer: Tokenizer
    background: Background
    _sums: dict[tuple[str, str], Tally] = field(default_factory=dict)

    def count(self, caller_id: str, model: str, used: Usage) -> None:
        """Add one call. The answer is worth more than the count: no error leaves."""
        first = not self._sums
        before = self._sums.get((caller_id, model)) or Tally(caller_id, model, 0, Usage())
        self._sums[caller_id, model] = Tally(
            caller_id, model, before.requests + 1, before.used + used
        )
        if first:
            try:
                self.background.spawn(self._write)
            except Overloaded:
                self._sums.clear()
                log.warning("usage of %s not counted, too much to count: %s", caller_id, used)

    def count_unfinished(self, caller_id: str, model: str, body: BaseModel, generated: int) -> None:
        """Add a call that broke off before its end: the provider charges it."""
        try:
            self.background.spawn(self._count_unfinished, caller_id, model, body, generated)
        except Overloaded:
            log.warning("usage of %s not counted: too many background tasks", caller_id)

    async def _count_unfinished(
        self, caller_id: str, model: str, body: BaseModel, generated: int
    ) -> None:
        prompt = await self.tokenizer.count(body.model_dump_json())
        self.count(caller_id, model, Usage(prompt, generated))

    async def _write(self) -> None:
        await asyncio.sleep(GATHER_SECONDS)
        sums, self._sums = self._sums, {}
        in_order = [sums[key] for key in sorted(sums)]  # one lock order for all
        await self.database.write(add_all, in_order)
