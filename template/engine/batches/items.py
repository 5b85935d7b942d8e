"""The items of a batch: claimed, run, recorded once.

All statements that touch several items lock them in the order of their ids: bulk updates in
another order made PostgreSQL find deadlocks.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Boolean, ColumnElement, Select, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from engine.batches import lanes
from engine.batches.lanes import LaneHold
from engine.batches.readiness import QUARANTINE
from engine.callers import fairness, usage
from engine.models.interface import Usage
from engine.sql.statements import instant, now, some_rows, sql_constant
from engine.sql.tables import BatchRow, ItemRow


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """An item that this drain has to run. `errors` is how often it has failed before."""

    id: int
    body: bytes
    attempt: int
    errors: int


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """The outcome of one attempt at an item."""

    item_id: int
    attempt: int
    status: Literal["succeeded", "failed", "pending"]
    response: bytes | None = None
    usage: Usage | None = None
    model: str = ""
    error_code: str | None = None
    error_message: str | None = None
    delay: float = 0.0
    """Seconds before the next attempt, where `status` is `pending`."""
    own: bool = True
    """Whether a failure is the item's own and counts among its tries."""


AGAIN = bindparam("again", type_=Boolean)
RECORD = (
    update(ItemRow.__table__)  # type: ignore[arg-type]  # its type includes joins
    .where(ItemRow.id == bindparam("item_id"))
    .values(
        status=bindparam("new_status"),
        owner=None,
        response=bindparam("new_response"),
        error_code=bindparam("new_code"),
        error_message=bindparam("new_message"),
        errors=ItemRow.errors + bindparam("failures"),
        not_before=case((AGAIN, now() + bindparam("delay")), else_=ItemRow.not_before),
        finished_at=case((~AGAIN, now())),
        place=bindparam("place_or_none"),
    )
)
"""Made once: to build it for each item cost half of a fast item's processor time."""


def claim_items(session: Session, hold: LaneHold, limit: int) -> list[ClaimedItem]:
    """Claim up to `limit` pending items of an open batch, in input order.

    A paused batch gives none. Quarantined items are claimed one by one, on their own lane.
    """
    alone = hold.lane == QUARANTINE
    open_batch = select(BatchRow.id).where(
        BatchRow.id == hold.batch_id,
        BatchRow.status == "in_progress",
        ~fairness.paused(BatchRow.caller_id),
    )
    free = (
        select(ItemRow.id)
        .where(
            ItemRow.batch_id.in_(open_batch),
            ItemRow.status == sql_constant("pending"),
            ItemRow.not_before <= instant(),
            ItemRow.alone.is_(alone),
        )
        .order_by(ItemRow.not_before, ItemRow.seq)
        .limit(1 if alone else limit)
        .with_for_update(skip_locked=True)
    )
    claimed = session.execute(
        update(ItemRow)
        .where(ItemRow.id.in_(some_rows(free)))
        .values(status="running", attempt=ItemRow.attempt + 1, owner=hold.owner)
        .returning(ItemRow.id, ItemRow.body, ItemRow.attempt, ItemRow.errors)
        .execution_options(synchronize_session=False)
    )
    return sorted((ClaimedItem(*row) for row in claimed), key=lambda item: item.id)


def record_items(
    session: Session, hold: LaneHold, caller_id: str, outcomes: Sequence[ItemOutcome]
) -> int:
    """Write outcomes, the batch's counters and the caller's usage; return the number accepted.

    An outcome's attempt is its fencing token: it is refused where the item has ended or has gone to
    another attempt. An item that ends gets its place while the batch's row is locked. So a reader
    that sees a place sees all places before it, because no other transaction takes one between that
    lock and its commit.
    """
    held = _held(session, hold, [outcome.item_id for outcome in outcomes])
    accepted = [outcome for outcome in outcomes if held.get(outcome.item_id) == outcome.attempt]
    if not accepted:
        return 0
    places = _count(session, hold.batch_id, accepted)
    session.connection().execute(RECORD, [_values(outcome, places) for outcome in accepted])
    _add_usage(session, caller_id, accepted)
    fairness.charge_caller(session, caller_id, sum(map(_cost, accepted)))
    return len(accepted)


def give_back(session: Session, hold: LaneHold) -> None:
    """Make the unfinished items of a drain that stops pending again, at no cost to them."""
    held = _running().where(ItemRow.batch_id == hold.batch_id, ItemRow.owner == hold.owner)
    session.execute(
        update(ItemRow)
        .where(ItemRow.id.in_(held.with_for_update()))
        .values(status="pending", owner=None)
        .execution_options(synchronize_session=False)
    )


def leave_lane(session: Session, hold: LaneHold, seconds: float, *, at_once: bool) -> None:
    """Give the lane back with its unfinished items, to be claimed at once or after a lease."""
    give_back(session, hold)
    lanes.release_lane(session, hold, seconds, at_once=at_once)


def _running() -> Select[int]:
    return select(ItemRow.id).where(ItemRow.status == sql_constant("running")).order_by(ItemRow.id)


def _held(session: Session, hold: LaneHold, item_ids: Collection[int]) -> dict[int, int]:
    """Lock the items that this drain still holds, and return their attempts."""
    mine = _running().where(ItemRow.id.in_(item_ids), ItemRow.owner == hold.owner)
    rows = session.execute(mine.add_columns(ItemRow.attempt).with_for_update())
    return {row.id: row.attempt for row in rows}


def _values(outcome: ItemOutcome, places: Iterator[int]) -> dict[str, object]:
    return {
        "item_id": outcome.item_id,
        "new_status": outcome.status,
        "new_response": outcome.response,
        "new_code": outcome.error_code,
        "new_message": outcome.error_message,
        "failures": int(outcome.status != "succeeded" and outcome.own),
        "again": outcome.status == "pending",
        "delay": outcome.delay,
        "place_or_none": None if outcome.status == "pending" else next(places),
    }


def _count(session: Session, batch_id: str, outcomes: Sequence[ItemOutcome]) -> Iterator[int]:
    """Add to the counters and keep their row locked; return the places of the items that end."""
    of = Counter(outcome.status for outcome in outcomes)
    completed, failed = of["succeeded"], of["failed"]
    if completed + failed == 0:
        return iter(())
    ended = session.scalars(
        update(BatchRow)
        .where(BatchRow.id == batch_id)
        .values(
            completed=BatchRow.completed + completed,
            failed=BatchRow.failed + failed,
            **_used([outcome for outcome in outcomes if outcome.usage]),
        )
        .returning(BatchRow.completed + BatchRow.failed)
        .execution_options(synchronize_session=False)
    ).one()
    return iter(range(ended - completed - failed + 1, ended + 1))


def _used(answers: Sequence[ItemOutcome]) -> dict[str, ColumnElement[Any]]:
    if not answers:
        return {}
    tokens = _sum(answers)
    prompt = func.coalesce(BatchRow.prompt_tokens, 0)
    completion = func.coalesce(BatchRow.completion_tokens, 0)
    return {
        "model": func.coalesce(BatchRow.model, answers[0].model),
        "prompt_tokens": prompt + tokens.prompt_tokens,
        "completion_tokens": completion + tokens.completion_tokens,
    }


def _sum(outcomes: Iterable[ItemOutcome]) -> Usage:
    return sum((outcome.usage for outcome in outcomes if outcome.usage), Usage())


def _cost(outcome: ItemOutcome) -> int:
    """Return the tokens of an attempt, at least 1: a failed one has cost something, too."""
    used = outcome.usage or Usage()
    return max(1, used.prompt_tokens + used.completion_tokens)


def _add_usage(session: Session, caller_id: str, outcomes: Sequence[ItemOutcome]) -> None:
    for model in sorted({outcome.model for outcome in outcomes if outcome.usage}):
        used = [outcome for outcome in outcomes if outcome.usage and outcome.model == model]
        usage.add_usage(session, caller_id, model, _sum(used), requests=len(used))
