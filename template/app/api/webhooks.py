"""Webhooks: register an address to be told of ends, rotate its secret, drop it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, HttpUrl

from app.dependencies.body import describe, json_body
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from app.domain import webhooks
from app.domain.pages import Page, PageQuery
from app.domain.webhooks import Event, WebhookDeleted, WebhookObject, WebhookWithSecret

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])


class NewWebhook(BaseModel):
    """Body of `POST /v1/webhooks`."""

    url: HttpUrl
    events: list[Event] = Field(min_length=1)


NewWebhookBody = Annotated[NewWebhook, Depends(json_body(NewWebhook))]


@router.post("", openapi_extra=describe(NewWebhook))
async def create_webhook(new: NewWebhookBody, once: Once, shared: Shared) -> WebhookWithSecret:
    """Register an address. The answer has the secret of its signatures, which is not shown again.

    It is `whsec_` and base64, as the libraries of Standard Webhooks take it.
    """
    return await once.write(
        webhooks.register,
        url=new.url,
        events=new.events,
        most=shared.settings.webhooks_per_caller,
        private_addresses=shared.settings.webhook_private_addresses,
    )


@router.get("")
async def list_webhooks(
    rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[WebhookObject]:
    """List the caller's webhooks, without secrets."""
    return await rows.read(webhooks.page, query)


@router.get("/{webhook_id}")
async def get_webhook(webhook_id: str, rows: CallersRows) -> WebhookObject:
    """Describe a webhook, without its secret."""
    return await rows.read(webhooks.get, webhook_id)


@router.delete("/{webhook_id}")
async def delete_webhook(webhook_id: str, rows: CallersRows) -> WebhookDeleted:
    """Drop a webhook and what it had still to be told."""
    return await rows.write(webhooks.remove, webhook_id)


@router.post("/{webhook_id}/rotate")
async def rotate_secret(webhook_id: str, once: Once, shared: Shared) -> WebhookWithSecret:
    """Make a new secret. For a day, or what is set, messages are signed by both."""
    return await once.write(
        webhooks.rotate, webhook_id, keep_seconds=shared.settings.webhook_rotation
    )
