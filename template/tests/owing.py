"""Callers with webhooks, for tests of the messages that these get."""

import time

from pydantic import HttpUrl
from sqlalchemy.orm import Session

from engine.sql.tables import CallerRow, WebhookDeliveryRow, WebhookRow
from engine.webhooks import endpoints
from engine.webhooks.endpoints import WebhookObject, WebhookWithSecret
from engine.work import outbox
from engine.work.outbox import EventType


def add_caller(session: Session, caller_id: str = "caller_a") -> str:
    """Make a caller of this id and name, and return the id."""
    row = CallerRow(id=caller_id, name=caller_id, flags=[], created_at=time.time())
    session.add(row)
    session.flush()
    return caller_id


def register(
    session: Session,
    caller_id: str,
    url: str = "https://receiver.example/hook",
    event_types: tuple[EventType, ...] = ("batch.completed",),
    *,
    most: int = 10,
    private_addresses: bool = False,
) -> WebhookWithSecret:
    """Register a webhook."""
    return endpoints.register_endpoint(
        session,
        caller_id,
        name="ends",
        url=HttpUrl(url),
        event_types=event_types,
        most=most,
        private_addresses=private_addresses,
    )


def change(
    session: Session,
    caller_id: str,
    webhook_id: str,
    *,
    name: str | None = None,
    url: str | None = None,
    event_types: list[EventType] | None = None,
) -> WebhookObject:
    """Update a webhook."""
    return endpoints.update_endpoint(
        session,
        caller_id,
        webhook_id,
        name=name,
        url=HttpUrl(url) if url else None,
        event_types=event_types,
        private_addresses=False,
    )


def disable(session: Session, webhook_id: str) -> None:
    """Disable a webhook, as one second after 1970 began."""
    session.get_one(WebhookRow, webhook_id).disabled_at = 1.0


def owe(session: Session, url: str) -> WebhookWithSecret:
    """Register a webhook at this URL to which one message is owed."""
    caller = add_caller(session)
    made = register(session, caller, url, private_addresses=True)
    outbox.enqueue_event(session, caller, "batch.completed", "batch_1")
    return made


def owed(session: Session) -> list[WebhookDeliveryRow]:
    """Return all that was ever owed, oldest first."""
    return list(session.query(WebhookDeliveryRow).order_by(WebhookDeliveryRow.id))


def make_due(session: Session) -> None:
    """Let time pass until everything is due."""
    session.query(WebhookDeliveryRow).update({"next_at": 0.0})
