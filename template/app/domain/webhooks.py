"""Webhooks: where callers want to be told of an end, and the duty to tell them."""

import base64
import json
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import BaseModel, HttpUrl
from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from app.domain.clock import now
from app.domain.ids import new_id
from app.domain.pages import Page, PageQuery, page_of
from app.domain.tables import CallerRow, WebhookDeliveryRow, WebhookRow
from app.errors import Conflict, InvalidRequest, NotFound
from app.resources.addresses import is_public

Event = Literal[
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
    "job.succeeded",
    "job.failed",
    "job.expired",
    "job.cancelled",
]
"""What callers can be told of. Those of batches have OpenAI's names."""

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""


class WebhookObject(BaseModel):
    """A webhook as its caller sees it. `disabled_at` is when its receiver said that it is gone."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    created_at: int
    disabled_at: int | None


class WebhookWithSecret(WebhookObject):
    """A webhook with the secret that its messages are signed with: shown once."""

    secret: str


class WebhookDeleted(BaseModel):
    """The answer to a deletion."""

    id: str
    object: Literal["webhook"] = "webhook"
    deleted: Literal[True] = True


@dataclass(frozen=True, slots=True)
class WebhookInfo:
    """What an operator may see of a webhook."""

    id: str
    caller: str
    url: str
    events: list[str]
    created_at: float
    disabled_at: float | None


def announce(session: Session, caller_id: str | None, event: str, subject_id: str) -> None:
    """Record the duty to tell the caller of an event, in the transaction that makes it happen.

    `event` is one of `Event` and `subject_id` the id of what ended, as in OpenAI's events. A second
    time for the same subject changes nothing.
    """
    assert event in get_args(Event)  # noqa: S101 -- nobody could have asked for another
    told = exists().where(
        WebhookDeliveryRow.webhook_id == WebhookRow.id,
        WebhookDeliveryRow.event == event,
        WebhookDeliveryRow.subject_id == subject_id,
    )
    webhooks = session.scalars(
        select(WebhookRow)
        .where(WebhookRow.caller_id == caller_id, WebhookRow.disabled_at.is_(None), ~told)
        .order_by(WebhookRow.id)
        .with_for_update(read=True, key_share=True)  # so that none is deleted meanwhile
    )
    for webhook in webhooks:
        if event in webhook.events:
            session.add(_delivery(webhook.id, event, subject_id))


def register(
    session: Session,
    caller_id: str,
    *,
    url: HttpUrl,
    events: Collection[Event],
    most: int,
    private_addresses: bool,
) -> WebhookWithSecret:
    """Record a new webhook; its secret is in the answer and is not shown again.

    Raise `InvalidRequest` for a URL that nothing is sent to, `Conflict` where the caller has `most`
    webhooks already.
    """
    _check(url, private_addresses=private_addresses)
    # Two that register at once take turns; work that refers to the caller goes on.
    session.get_one(CallerRow, caller_id, with_for_update={"key_share": True})
    mine = select(func.count()).where(WebhookRow.caller_id == caller_id)
    if (session.scalar(mine) or 0) >= most:
        raise Conflict(f"You have {most} webhooks, as many as a caller may have: delete one first.")
    webhook = WebhookRow(
        id=new_id("webhook"),
        caller_id=caller_id,
        url=str(url),
        events=sorted(set(events)),
        secret=_new_secret(),
        created_at=time.time(),
    )
    session.add(webhook)
    return _with_secret(webhook)


def get(session: Session, caller_id: str, webhook_id: str) -> WebhookObject:
    """Return a webhook; raise `NotFound` where this caller has none of that id."""
    return _object(_row(session, caller_id, webhook_id))


def page(session: Session, caller_id: str, query: PageQuery) -> Page[WebhookObject]:
    """Return one page of the caller's webhooks."""
    return page_of(session, WebhookRow, query, _object, WebhookRow.caller_id == caller_id)


def remove(session: Session, caller_id: str, webhook_id: str) -> WebhookDeleted:
    """Delete a webhook and all that it had still to be told."""
    session.delete(_row(session, caller_id, webhook_id, for_update=True))
    return WebhookDeleted(id=webhook_id)


def rotate(
    session: Session, caller_id: str, webhook_id: str, *, keep_seconds: float
) -> WebhookWithSecret:
    """Return the webhook with a new secret; the one before signs beside it for `keep_seconds`."""
    webhook = _row(session, caller_id, webhook_id, for_update=True)
    webhook.previous_secret = webhook.secret
    webhook.previous_until = now() + keep_seconds
    webhook.secret = _new_secret()
    return _with_secret(webhook)


def list_webhooks(session: Session) -> list[WebhookInfo]:
    """Return the webhooks of all callers, oldest first."""
    rows = session.execute(
        select(WebhookRow, CallerRow.name)
        .join(CallerRow, CallerRow.id == WebhookRow.caller_id)
        .order_by(WebhookRow.id)
    )
    return [
        WebhookInfo(row.id, caller, row.url, row.events, row.created_at, row.disabled_at)
        for row, caller in rows
    ]


def _check(url: HttpUrl, *, private_addresses: bool) -> None:
    """Tell early what would fail at every try. Names are checked when they are connected to."""
    if url.username is not None or url.password is not None:
        raise InvalidRequest("The url may not carry a user name or a password.", param="url")
    if private_addresses:
        return
    if url.scheme != "https":
        raise InvalidRequest("The url must begin with https://.", param="url")
    host = url.host or ""
    literal = host.startswith("[") or host.replace(".", "").isdigit()
    if host == "localhost" or (literal and not is_public(host.strip("[]"))):
        raise InvalidRequest(f"{host} is not a public address.", param="url")


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


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
        next_at=now(),
        created_at=created,
    )


def _row(
    session: Session, caller_id: str, webhook_id: str, *, for_update: bool = False
) -> WebhookRow:
    webhook = session.get(WebhookRow, webhook_id, with_for_update=for_update)
    if webhook is None or webhook.caller_id != caller_id:
        raise NotFound(f"There is no webhook {webhook_id}.", param="webhook_id")
    return webhook


def _object(webhook: WebhookRow) -> WebhookObject:
    disabled = webhook.disabled_at
    return WebhookObject(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        created_at=int(webhook.created_at),
        disabled_at=int(disabled) if disabled is not None else None,
    )


def _with_secret(webhook: WebhookRow) -> WebhookWithSecret:
    return WebhookWithSecret(**_object(webhook).model_dump(), secret=webhook.secret)
