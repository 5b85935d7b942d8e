"""Webhook deliveries: claimed, tried, recorded, sent again by an operator."""

import time
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import ColumnElement, Select, func, select, text, update
from sqlalchemy.orm import Session

from engine.errors import Conflict, NotFound
from engine.sql.statements import instant, new_id, now, rows_changed, skip_scan, sql_constant
from engine.sql.tables import WebhookDeliveryRow, WebhookRow
from engine.sql.tables.webhooks import IN_FLIGHT
from engine.webhooks import endpoints as webhooks
from engine.work.outbox import EventType, event_payload

PENDING = sql_constant("pending")
GONE = "The receiver answered 410, so its webhook is disabled."


@dataclass(frozen=True, slots=True)
class Notification:
    """A message that is due, and the secrets that sign it, newest first. `attempt` starts at 1."""

    id: str
    webhook_id: str
    url: str = field(repr=False)
    """Often a secret itself: any client that knows it may send to its receiver."""
    secrets: list[str] = field(repr=False)
    payload: bytes
    attempt: int


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The outcome of one try. `delay` is in seconds, until the next one where it is `pending`."""

    status: Literal["delivered", "pending", "dead"]
    http_status: int | None
    error: str | None = None
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that was given up."""

    id: str
    event: str
    subject_id: str
    url: str
    attempt: int
    error: str
    finished_at: float


def claim_deliveries(
    session: Session, *, seconds: float, most_in_flight: int
) -> Notification | None:
    """Claim the message that is due for longest, for `seconds`, or return None.

    After these it is due again: its worker is dead. Callers with `most_in_flight` tries under
    way must wait; two claims at once may exceed this by one.
    """
    due = WebhookDeliveryRow.status == PENDING, WebhookDeliveryRow.next_at <= instant()
    first = select(WebhookDeliveryRow).where(*due).order_by(WebhookDeliveryRow.next_at).limit(1)
    for webhook_id in _receivers(session, first, most_in_flight):
        mine = first.where(WebhookDeliveryRow.webhook_id == webhook_id)
        message = session.scalar(mine.with_for_update(skip_locked=True))
        if message is not None:
            message.attempt += 1
            message.next_at = now() + seconds
            message.last_status = message.last_error = None
            session.flush()
            return _notification(session, message)
    return None


def record_delivery(session: Session, notification: Notification, outcome: DeliveryOutcome) -> bool:
    """Write the outcome of a try; return False where it is taken over or has ended."""
    again = outcome.status == "pending"
    statement = (
        update(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.id == notification.id,
            WebhookDeliveryRow.attempt == notification.attempt,
            WebhookDeliveryRow.status == "pending",
        )
        .values(
            status=outcome.status,
            last_status=outcome.http_status,
            last_error=outcome.error,
            next_at=now() + outcome.delay if again else WebhookDeliveryRow.next_at,
            finished_at=None if again else now(),
        )
    )
    return rows_changed(session, statement) == 1


def disable_endpoint(session: Session, notification: Notification) -> None:
    """Disable a webhook because its receiver is gone, and give up its pending messages.

    One with another address by now goes on: the message comes there as after a kill.
    """
    webhook = session.get(WebhookRow, notification.webhook_id, with_for_update=True)
    if webhook is None or webhook.url != notification.url:
        return
    webhook.disabled_at = now()
    pending = select(WebhookDeliveryRow.id).where(
        WebhookDeliveryRow.webhook_id == webhook.id, WebhookDeliveryRow.status == "pending"
    )
    session.execute(
        update(WebhookDeliveryRow)
        .where(_one_after_the_other(pending))
        .values(status="dead", last_status=410, last_error=GONE, finished_at=now())
        .execution_options(synchronize_session=False)
    )


def sample_event(
    session: Session, caller_id: str, webhook_id: str, event: EventType
) -> Notification:
    """Return a sample message, which is not stored and tells of a thing that does not exist.

    Raise `NotFound` where this caller has no webhook of that id.
    """
    webhooks.get_endpoint(session, caller_id, webhook_id)
    url, secrets = _receiver(session, webhook_id)
    sample_id, kind = new_id("evt"), event.partition(".")[0]
    payload = event_payload(sample_id, event, f"{kind}_sample", time.time())
    return Notification(sample_id, webhook_id, url, secrets, payload, attempt=1)


def list_dead(session: Session, limit: int) -> list[DeadLetter]:
    """Return the messages that were given up, at most `limit`, latest first."""
    rows = session.execute(
        select(WebhookDeliveryRow, WebhookRow.url)
        .join(WebhookRow, WebhookRow.id == WebhookDeliveryRow.webhook_id)
        .where(WebhookDeliveryRow.status == sql_constant("dead"))
        .order_by(WebhookDeliveryRow.finished_at.desc())
        .limit(limit)
    )
    return [
        DeadLetter(
            id=row.id,
            event=row.event,
            subject_id=row.subject_id,
            url=url,
            attempt=row.attempt,
            error=row.last_error or "",
            finished_at=row.finished_at or 0.0,
        )
        for row, url in rows
    ]


def resend_delivery(session: Session, notification_id: str) -> None:
    """Restart the tries of a dead message at once, under its old id.

    Raise `NotFound` where there is none of that id, `Conflict` where it is not dead.
    """
    row = session.get(WebhookDeliveryRow, notification_id, with_for_update=True)
    if row is None:
        raise NotFound(f"There is no message {notification_id}: `app webhooks dead` shows them.")
    if row.status != "dead":
        raise Conflict(f"The message {notification_id} is {row.status}; only a dead one is resent.")
    _revive(session, select(WebhookDeliveryRow.id).where(WebhookDeliveryRow.id == notification_id))


def resend_all(session: Session) -> int:
    """Restart the tries of all dead messages at once, and return their number."""
    return _revive(
        session, select(WebhookDeliveryRow.id).where(WebhookDeliveryRow.status == "dead")
    )


def _receivers(session: Session, first: Select[WebhookDeliveryRow], most: int) -> list[str]:
    """Return the webhooks with messages that are due, the longest wait first.

    `first` selects the first message that is due. Callers with `most` in flight are left out.
    """
    waiting = skip_scan(WebhookDeliveryRow.webhook_id, WebhookDeliveryRow.status == PENDING)
    its_first = first.where(WebhookDeliveryRow.webhook_id == waiting.c.value)
    since = its_first.with_only_columns(WebhookDeliveryRow.next_at).scalar_subquery().label("since")
    busy = (
        select(WebhookRow.caller_id)
        .join(WebhookDeliveryRow, WebhookDeliveryRow.webhook_id == WebhookRow.id)
        .where(text(IN_FLIGHT), WebhookDeliveryRow.next_at > instant())
        .group_by(WebhookRow.caller_id)
        .having(func.count() >= most)
    )
    webhooks = select(WebhookRow.id, since).join(waiting, waiting.c.value == WebhookRow.id)
    rows = session.execute(webhooks.where(WebhookRow.caller_id.not_in(busy)).order_by(since))
    return [webhook_id for webhook_id, since in rows if since is not None]


def _notification(session: Session, row: WebhookDeliveryRow) -> Notification:
    url, secrets = _receiver(session, row.webhook_id)
    return Notification(row.id, row.webhook_id, url, secrets, row.payload, row.attempt)


def _receiver(session: Session, webhook_id: str) -> tuple[str, list[str]]:
    url, secret, previous, kept = session.execute(
        select(
            WebhookRow.url,
            WebhookRow.secret,
            WebhookRow.previous_secret,
            WebhookRow.previous_until > now(),
        ).where(WebhookRow.id == webhook_id)
    ).one()
    return url, [secret, previous] if previous and kept else [secret]


def _one_after_the_other(ids: Select[str]) -> ColumnElement[bool]:
    """Return the condition that selects these rows and locks them in the order of their ids."""
    return WebhookDeliveryRow.id.in_(ids.order_by(WebhookDeliveryRow.id).with_for_update())


def _revive(session: Session, ids: Select[str]) -> int:
    statement = (
        update(WebhookDeliveryRow)
        .where(_one_after_the_other(ids))
        .values(
            status="pending",
            attempt=0,
            next_at=now(),
            last_status=None,
            last_error=None,
            finished_at=None,
        )
    )
    return rows_changed(session, statement)
