"""The steps of a fine-tuning as transactions, each recorded before the next is taken."""

import time
from collections.abc import Sequence

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.fine_tuning.jobs import add_event, end_fine_tuning
from engine.fine_tuning.owned_models import adopt_models
from engine.fine_tuning.provider_job import OPEN, ProviderError, ProviderEvent, ProviderJob
from engine.fine_tuning.schema import TrainingError
from engine.fine_tuning.tables import FineTuningEventRow, FineTuningJobRow

MOST_CREATES = 3
"""Attempts at a provider's job, each after it was looked for in vain."""

MOST_MISSING = 5
"""Looks one after the other at which the provider does not know its job: then it is lost."""

MOST_EVENTS = 10_000
"""Events that are kept of one job."""


def keep_sent(_session: Session, row: FineTuningJobRow, sent: dict[str, str], tokens: int) -> None:
    """Record the provider's ids of the files, and their tokens."""
    row.sent_files, row.tokens = msgspec.json.encode(sent), tokens


def begin_create(session: Session, row: FineTuningJobRow) -> None:
    """Record that from here on the provider may have a job; end one that is to be cancelled."""
    if row.cancel_requested:
        end_fine_tuning(session, row, "cancelled")
    row.creating_at, row.creates = time.time(), row.creates + 1


def forbid_create(_session: Session, row: FineTuningJobRow) -> None:
    """Record that the provider was asked well: its job is looked for and not made again."""
    row.creates = MOST_CREATES


def count_poll(_session: Session, row: FineTuningJobRow) -> None:
    """Count a look that failed."""
    row.polls += 1


def count_missing(session: Session, row: FineTuningJobRow) -> None:
    """Count a look at which the provider did not know its job; give the job up after some."""
    row.polls, row.missing = row.polls + 1, row.missing + 1
    if row.missing >= MOST_MISSING:
        message = "The provider does not know its job any more."
        reason = TrainingError(code="provider_lost_job", message=message)
        end_fine_tuning(session, row, "failed", reason)


def take_answer(
    session: Session,
    row: FineTuningJobRow,
    answer: ProviderJob,
    events: Sequence[ProviderEvent],
    checkpoints: Sequence[str],
) -> None:
    """Record the state of the provider's job; a status that is unknown here changes nothing."""
    row.provider_job, row.answer, row.missing = answer.id, answer.kept(), 0
    row.polls = 0 if events or answer.status != row.status else row.polls + 1
    add_events(session, row, events)
    match answer.status:
        case "succeeded":
            adopt_result(session, row, answer.fine_tuned_model or "", checkpoints)
        case "failed":
            said = answer.error or ProviderError()
            code = said.code or "provider_error"
            reason = TrainingError(code=code, message=said.message, param=said.param)
            end_fine_tuning(session, row, "failed", reason)
        case "cancelled":
            end_fine_tuning(session, row, "cancelled")
        case status if status in OPEN:
            row.status = status


def adopt_result(
    session: Session, row: FineTuningJobRow, model: str, checkpoints: Sequence[str]
) -> None:
    """End a job as succeeded, with its models for its caller; as failed without a good name."""
    if not adopt_models(session, row, [model]):
        message = f"The provider names a model that cannot be this job's: `{model}`."
        reason = TrainingError(code="model_not_adopted", message=message)
        end_fine_tuning(session, row, "failed", reason)
        return
    adopt_models(session, row, checkpoints)
    row.fine_tuned_model = model
    end_fine_tuning(session, row, "succeeded")


def known_events(session: Session, job_id: str) -> set[str]:
    """Return the provider's ids of the events that are kept."""
    of_job = FineTuningEventRow.job_id == job_id
    return set(session.scalars(select(FineTuningEventRow.origin).where(of_job)))


def add_events(session: Session, row: FineTuningJobRow, events: Sequence[ProviderEvent]) -> None:
    """Keep the provider's events that are new, each once."""
    known = known_events(session, row.id)
    for event in {each.id: each for each in events}.values():
        if event.id in known or len(known) >= MOST_EVENTS:
            continue
        known.add(event.id)
        add_event(session, row, event)
