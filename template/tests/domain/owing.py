"""Callers with webhooks, for tests of what these are told."""

import time

from pydantic import HttpUrl
from sqlalchemy.orm import Session

from app.domain import webhooks
from app.domain.tables import CallerRow, WebhookDeliveryRow
from app.domain.webhooks import Event, WebhookWithSecret


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
    events: tuple[Event, ...] = ("batch.completed",),
    *,
    most: int = 10,
    private_addresses: bool = False,
) -> WebhookWithSecret:
    """Register a webhook."""
    return webhooks.register(
        session,
        caller_id,
        url=HttpUrl(url),
        events=events,
        most=most,
        private_addresses=private_addresses,
    )


def owe(session: Session, url: str) -> WebhookWithSecret:
    """Register a webhook at this URL to which one message is owed."""
    caller = add_caller(session)
    made = register(session, caller, url, private_addresses=True)
    webhooks.announce(session, caller, "batch.completed", "batch_1")
    return made


def owed(session: Session) -> list[WebhookDeliveryRow]:
    """Return all that was ever owed, oldest first."""
    return list(session.query(WebhookDeliveryRow).order_by(WebhookDeliveryRow.id))


def make_due(session: Session) -> None:
    """Let time pass until everything is due."""
    session.query(WebhookDeliveryRow).update({"next_at": 0.0})
