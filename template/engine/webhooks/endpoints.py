"""Webhook endpoints: the URLs at which callers want to be told of ended batches and jobs."""

import base64
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field, HttpUrl
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.errors import Conflict, InvalidRequest, NotFound
from engine.process.address_guard import is_public
from engine.sql.pagination import Page, PageQuery, page_of
from engine.sql.statements import new_id, now
from engine.sql.tables import CallerRow, WebhookRow
from engine.work.outbox import EventType

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""


class WebhookObject(BaseModel):
    """OpenAI's object, and `disabled_at`: when the receiver said that it is gone.

    `updated_at` is the time of the last change by the caller, a new secret included.
    """

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    name: str
    url: str
    event_types: list[str]
    signing_secret_hint: str
    created_at: int
    updated_at: int
    disabled_at: int | None


class WebhookWithSecret(WebhookObject):
    """A webhook with the secret that its messages are signed with: shown once."""

    signing_secret: str = Field(repr=False)


class WebhookDeleted(BaseModel):
    """The answer to a deletion."""

    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


@dataclass(frozen=True, slots=True)
class WebhookInfo:
    """A webhook, as an operator may see it."""

    id: str
    caller: str
    name: str
    url: str
    events: list[str]
    created_at: float
    disabled_at: float | None


def register_endpoint(
    session: Session,
    caller_id: str,
    *,
    name: str,
    url: HttpUrl,
    event_types: Collection[EventType],
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
        raise Conflict(
            f"You have {most} webhook endpoints, the most that a caller may have: delete one first."
        )
    created = time.time()
    webhook = WebhookRow(
        id=new_id("webhook"),
        caller_id=caller_id,
        name=name,
        url=str(url),
        events=sorted(set(event_types)),
        secret=_new_secret(),
        created_at=created,
        updated_at=created,
    )
    session.add(webhook)
    return _with_secret(webhook)


def get_endpoint(session: Session, caller_id: str, webhook_id: str) -> WebhookObject:
    """Return a webhook; raise `NotFound` where this caller has none of that id."""
    return _object(_row(session, caller_id, webhook_id))


def page_of_endpoints(session: Session, caller_id: str, query: PageQuery) -> Page[WebhookObject]:
    """Return one page of the caller's webhooks."""
    return page_of(session, WebhookRow, query, _object, WebhookRow.caller_id == caller_id)


def update_endpoint(
    session: Session,
    caller_id: str,
    webhook_id: str,
    *,
    name: str | None,
    url: HttpUrl | None,
    event_types: Collection[EventType] | None,
    private_addresses: bool,
) -> WebhookObject:
    """Change the fields that are not None and return the webhook; a URL enables a disabled one.

    Raise `InvalidRequest` for a URL that nothing is sent to.
    """
    webhook = _row(session, caller_id, webhook_id, for_update=True)
    if name is not None:
        webhook.name = name
    if url is not None:
        _check(url, private_addresses=private_addresses)
        webhook.url = str(url)
        webhook.disabled_at = None
    if event_types is not None:
        webhook.events = sorted(set(event_types))
    if session.is_modified(webhook):
        webhook.updated_at = time.time()
    return _object(webhook)


def remove_endpoint(session: Session, caller_id: str, webhook_id: str) -> WebhookDeleted:
    """Delete a webhook and its messages."""
    session.delete(_row(session, caller_id, webhook_id, for_update=True))
    return WebhookDeleted(id=webhook_id)


def rotate_secret(
    session: Session, caller_id: str, webhook_id: str, *, keep_seconds: float
) -> WebhookWithSecret:
    """Return the webhook with a new secret; the one before signs beside it for `keep_seconds`."""
    webhook = _row(session, caller_id, webhook_id, for_update=True)
    webhook.previous_secret = webhook.secret if keep_seconds else None
    webhook.previous_until = now() + keep_seconds if keep_seconds else None
    webhook.secret = _new_secret()
    webhook.updated_at = time.time()
    return _with_secret(webhook)


def list_endpoints(session: Session) -> list[WebhookInfo]:
    """Return the webhooks of all callers, oldest first."""
    rows = session.execute(
        select(WebhookRow, CallerRow.name)
        .join(CallerRow, CallerRow.id == WebhookRow.caller_id)
        .order_by(WebhookRow.id)
    )
    return [
        WebhookInfo(
            id=row.id,
            caller=caller,
            name=row.name,
            url=row.url,
            events=row.events,
            created_at=row.created_at,
            disabled_at=row.disabled_at,
        )
        for row, caller in rows
    ]


def _check(url: HttpUrl, *, private_addresses: bool) -> None:
    """Refuse early a URL that would fail at every try. Names are checked on connecting."""
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


def _row(
    session: Session, caller_id: str, webhook_id: str, *, for_update: bool = False
) -> WebhookRow:
    webhook = session.get(WebhookRow, webhook_id, with_for_update=for_update)
    if webhook is None or webhook.caller_id != caller_id:
        raise NotFound(f"There is no webhook endpoint {webhook_id}.", param="webhook_endpoint_id")
    return webhook


def _object(webhook: WebhookRow) -> WebhookObject:
    disabled = webhook.disabled_at
    return WebhookObject(
        id=webhook.id,
        name=webhook.name,
        url=webhook.url,
        event_types=webhook.events,
        signing_secret_hint=f"whsec_****{webhook.secret[-4:]}",
        created_at=int(webhook.created_at),
        updated_at=int(webhook.updated_at),
        disabled_at=int(disabled) if disabled is not None else None,
    )


def _with_secret(webhook: WebhookRow) -> WebhookWithSecret:
    return WebhookWithSecret(**_object(webhook).model_dump(), signing_secret=webhook.secret)
