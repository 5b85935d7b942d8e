"""Webhooks: where callers want to be told of an end, and the duty to tell them."""

import json
import time

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from app.domain.ids import new_id
from app.domain.tables import WebhookDeliveryRow, WebhookRow


def announce(session: Session, caller_id: str | None, event: str, subject_id: str) -> None:
    """Record the duty to tell the caller of an event, in the transaction that makes it happen.

    `event` is such as `batch.completed` and `subject_id` the id of what ended, as in OpenAI's
    events. A second time for the same subject, as after a retry, changes nothing.
    """
    told = exists().where(
        WebhookDeliveryRow.webhook_id == WebhookRow.id,
        WebhookDeliveryRow.event == event,
        WebhookDeliveryRow.subject_id == subject_id,
    )
    mine = select(WebhookRow).where(
        WebhookRow.caller_id == caller_id, WebhookRow.disabled_at.is_(None), ~told
    )
    for webhook in session.scalars(mine):
        if event in webhook.events:
            session.add(_delivery(webhook.id, event, subject_id))


def _delivery(webhook_id: str, event: str, subject_id: str) -> WebhookDeliveryRow:
    delivery_id, created = new_id("evt"), time.time()
    payload = {
        "id": delivery_id,
        "object": "event",
        "created_at": int(created),
        "type": event,
        "data": {"id": subject_id},
    }
    return WebhookDeliveryRow(
        id=delivery_id,
        webhook_id=webhook_id,
        event=event,
        subject_id=subject_id,
        payload=json.dumps(payload).encode(),
        next_at=created,
        created_at=created,
    )
