"""Webhook endpoints, as OpenAI's clients manage them: callers' URLs for events of ended work."""

from typing import Annotated, Literal

from aiohttp import ClientConnectorDNSError
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field, HttpUrl

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.caller import CurrentCaller
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.limits import RateHeaders
from app.dependencies.resources import Shared
from app.resources.lifespan import Resources
from engine.body import NO_NUL, Body
from engine.errors import ReceiverUnreachable
from engine.process.address_guard import NOT_PUBLIC
from engine.sql.pagination import Page, PageQuery
from engine.webhooks import deliveries, endpoints
from engine.webhooks.deliveries import Notification
from engine.webhooks.endpoints import WebhookDeleted, WebhookObject, WebhookWithSecret
from engine.webhooks.signing import signed_headers
from engine.work.outbox import EVENT_TYPES, EventType

router = APIRouter(prefix="/v1", tags=["webhooks"])

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=NO_NUL)]
EventTypes = Annotated[list[EventType], Field(min_length=1)]


class NewWebhook(Body):
    """Body of `POST /v1/webhook_endpoints`."""

    name: Name
    url: HttpUrl
    event_types: EventTypes


class WebhookUpdate(Body):
    """Body of `POST /v1/webhook_endpoints/{id}`: a field left out stays as it is."""

    name: Name | None = None
    url: HttpUrl | None = None
    event_types: EventTypes | None = None


class Rotation(Body):
    """Body of `POST /v1/webhook_endpoints/{id}/rotate_secret`."""

    keep_old_secret_active_for_24_hours: bool = False


class NewTest(Body):
    """Body of `POST /v1/webhook_endpoints/{id}/test`."""

    event_type: EventType


class WebhookTest(BaseModel):
    """The receiver's answer to a sample; `success` means that there was an answer."""

    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: EventType
    status_code: int
    success: Literal[True] = True


class EventTypeList(BaseModel):
    """All event types."""

    object: Literal["list"] = "list"
    data: tuple[EventType, ...] = EVENT_TYPES


NewWebhookBody = Annotated[NewWebhook, Depends(json_body(NewWebhook))]
UpdateBody = Annotated[WebhookUpdate, Depends(json_body(WebhookUpdate))]
RotationBody = Annotated[Rotation, Depends(json_body(Rotation))]
NewTestBody = Annotated[NewTest, Depends(json_body(NewTest))]

EXAMPLE = {
    "name": "Mine",
    "url": "https://example.com/webhooks",
    "event_types": ["batch.completed"],
}


@router.get("/webhook_event_types")
async def list_event_types(_caller: CurrentCaller) -> EventTypeList:
    """List the event types that a webhook can ask for."""
    return EventTypeList()


@router.post("/webhook_endpoints", openapi_extra=describe_body(NewWebhook, EXAMPLE))
async def create_webhook(new: NewWebhookBody, once: Once, shared: Shared) -> WebhookWithSecret:
    """Register an endpoint. The answer has the secret of its signatures, which is not shown again.

    It is `whsec_` and base64, as the libraries of Standard Webhooks take it.
    """
    return await once.write(
        endpoints.register_endpoint,
        name=new.name,
        url=new.url,
        event_types=new.event_types,
        most=shared.settings.webhooks_per_caller,
        private_addresses=shared.settings.webhook_private_addresses,
    )


@router.get("/webhook_endpoints")
async def list_webhooks(
    rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[WebhookObject]:
    """List the caller's endpoints, without secrets."""
    return await rows.read(endpoints.page_of_endpoints, query)


@router.get("/webhook_endpoints/{webhook_endpoint_id}")
async def get_webhook(webhook_endpoint_id: str, rows: CallersRows) -> WebhookObject:
    """Describe an endpoint, without its secret."""
    return await rows.read(endpoints.get_endpoint, webhook_endpoint_id)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}", openapi_extra=describe_body(WebhookUpdate, EXAMPLE)
)
async def update_webhook(
    webhook_endpoint_id: str, change: UpdateBody, rows: CallersRows, shared: Shared
) -> WebhookObject:
    """Change name, address or events. Giving an address enables a disabled endpoint again."""
    return await rows.write(
        endpoints.update_endpoint,
        webhook_endpoint_id,
        name=change.name,
        url=change.url,
        event_types=change.event_types,
        private_addresses=shared.settings.webhook_private_addresses,
    )


@router.delete("/webhook_endpoints/{webhook_endpoint_id}")
async def delete_webhook(webhook_endpoint_id: str, rows: CallersRows) -> WebhookDeleted:
    """Delete an endpoint and its messages."""
    return await rows.write(endpoints.remove_endpoint, webhook_endpoint_id)


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/rotate_secret", openapi_extra=describe_body(Rotation)
)
async def rotate_secret(
    webhook_endpoint_id: str, rotation: RotationBody, once: Once, shared: Shared
) -> WebhookWithSecret:
    """Make a new secret. The old one ends at once, or signs beside it for a day or the time set."""
    keep = rotation.keep_old_secret_active_for_24_hours
    return await once.write(
        endpoints.rotate_secret,
        webhook_endpoint_id,
        keep_seconds=shared.settings.webhook_rotation if keep else 0.0,
    )


@router.post(
    "/webhook_endpoints/{webhook_endpoint_id}/test",
    openapi_extra=describe_body(NewTest),
    responses=failures(ReceiverUnreachable),
)
async def test_webhook(
    webhook_endpoint_id: str,
    new: NewTestBody,
    rows: CallersRows,
    shared: Shared,
    rate: RateHeaders,
    response: Response,
) -> WebhookTest:
    """Send a sample to the endpoint once, and return its receiver's answer.

    It counts as a request to a model does, because it makes this server send a message.
    """
    response.headers.update(rate)
    sample = await rows.read(deliveries.sample_event, webhook_endpoint_id, new.event_type)
    return WebhookTest(
        webhook_endpoint_id=webhook_endpoint_id,
        event_type=new.event_type,
        status_code=await _send(shared, sample),
    )


async def _send(shared: Resources, sample: Notification) -> int:
    headers = signed_headers(sample.id, sample.payload, sample.secrets)
    try:
        return (await shared.webhook_client.post(sample.url, sample.payload, headers)).status
    except TimeoutError as error:
        limit = shared.settings.webhook_timeout
        raise ReceiverUnreachable(f"The receiver gave no answer within {limit:g} s.") from error
    except Exception as error:  # every message would meet this error
        reason: Exception | str = error
        if isinstance(error.__cause__, ClientConnectorDNSError) or NOT_PUBLIC in str(error):
            reason = "its name leads to no public address"  # internal names are not revealed
        raise ReceiverUnreachable(f"The receiver gave no answer: {reason}.") from error
