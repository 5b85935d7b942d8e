"""Transactional outbox: events for callers, and the deliveries that tell them."""

import json
import time
from typing import Literal, get_args

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from engine.sql.statements import new_id, now
from engine.sql.tables import WebhookDeliveryRow, WebhookRow

EventType = Literal[
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "job.succeeded",
    "job.failed",
    "job.expired",
    "job.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "response.cancelled",
    "fine_tuning.job.succeeded",
    "fine_tuning.job.failed",
    "fine_tuning.job.cancelled",
]
"""Events that a webhook can ask for. All but those of jobs have OpenAI's names."""

EVENT_TYPES: tuple[EventType, ...] = get_args(EventType)


def enqueue_event(session: Session, caller_id: str | None, event: str, subject_id: str) -> None:
    """Record the duty to tell the caller of an event, in the transaction that makes it happen.

    `event` is one of `EVENT_TYPES` and `subject_id` the id of the batch, job or response that
    ended, as in OpenAI's events. No subject has an event twice, unless it was forgotten in between.
    """
    assert event in EVENT_TYPES  # noqa: S101 -- no webhook can ask for another
    webhooks = session.scalars(
        select(WebhookRow)
        .where(WebhookRow.caller_id == caller_id, WebhookRow.disabled_at.is_(None))
        .order_by(WebhookRow.id)
        .with_for_update(read=True, key_share=True)  # so that none is deleted before the commit
    )
    for webhook in webhooks:
        if event in webhook.events:
            session.add(_delivery(webhook.id, event, subject_id))


def forget_events(session: Session, subject_id: str) -> None:
    """Delete the deliveries of a subject that restarts, so that its next end is announced."""
    session.execute(delete(WebhookDeliveryRow).where(WebhookDeliveryRow.subject_id == subject_id))


def event_payload(event_id: str, event: str, subject_id: str, created_at: float) -> bytes:
    """Return an event as OpenAI's client reads it: its body has the id of its subject."""
    payload = {
        "id": event_id,
        "object": "event",
        "created_at": int(created_at),
        "type": event,
        "data": {"id": subject_id},
    }
    return json.dumps(payload).encode()


def _delivery(webhook_id: str, event: str, subject_id: str) -> WebhookDeliveryRow:
    event_id, created = new_id("evt"), time.time()
    return WebhookDeliveryRow(
        id=event_id,
        webhook_id=webhook_id,
        event=event,
        subject_id=subject_id,
        payload=event_payload(event_id, event, subject_id, created),
        next_at=now(),
        created_at=created,
    )
