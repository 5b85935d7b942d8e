"""Webhook sender: sends each message until its receiver takes it or the tries are used up.

A message may arrive twice, as after a kill between its arrival and its record; its id stays.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from engine.resources import Resources
from engine.watch.telemetry import request_id
from engine.webhooks import deliveries
from engine.webhooks.deliveries import DeliveryOutcome, Notification
from engine.webhooks.signing import signed_headers

log = logging.getLogger(__name__)

GONE = 410
LONGEST_ASKED = 86_400.0
"""Seconds; a receiver may ask for a longer wait, but a message that is a day late is of no use."""


async def claim_sending(
    resources: Resources, _stopping: asyncio.Event
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Claim the message that is due for longest; return the function that sends it, or None.

    It is claimed for longer than a try can take, so that no other worker sends it too.
    """
    settings = resources.settings
    notification = await resources.database.write(
        deliveries.claim_deliveries,
        seconds=settings.webhook_timeout + settings.lease_seconds,
        most_in_flight=settings.webhooks_in_flight,
    )
    return partial(deliver_message, resources, notification) if notification else None


async def deliver_message(resources: Resources, notification: Notification) -> None:
    """Send a claimed message once and record the outcome."""
    request_id.set(notification.id)
    outcome = await _send(resources, notification)
    if outcome.error:
        host = urlsplit(notification.url).hostname  # the rest may be a secret
        log.warning("webhook to %s, try %s: %s", host, notification.attempt, outcome.error)
    if outcome.http_status == GONE:
        await resources.database.write(deliveries.disable_endpoint, notification)
    else:
        await resources.database.write(deliveries.record_delivery, notification, outcome)


async def _send(resources: Resources, notification: Notification) -> DeliveryOutcome:
    waits = resources.settings.webhook_waits
    payload = notification.payload
    try:
        headers = signed_headers(notification.id, payload, notification.secrets)
        reply = await resources.webhook_client.post(notification.url, payload, headers)
    except Exception as error:  # noqa: BLE001 -- an error that got out would be retried for ever
        return _failed(waits, notification, None, f"{type(error).__name__}: {error}")
    if 200 <= reply.status < 300:
        return DeliveryOutcome("delivered", reply.status)
    message = f"The receiver answered {reply.status}."
    return _failed(waits, notification, reply.status, message, reply.retry_after)


def _failed(
    waits: tuple[float, ...],
    notification: Notification,
    status: int | None,
    message: str,
    asked: float = 0.0,
) -> DeliveryOutcome:
    error = " ".join(message.replace("\0", "").split())  # PostgreSQL cannot store NUL
    if notification.attempt > len(waits):
        return DeliveryOutcome("dead", status, error)
    wait = max(waits[notification.attempt - 1], min(asked, LONGEST_ASKED))
    # Longer by chance, so that messages which failed together do not come together again.
    return DeliveryOutcome("pending", status, error, delay=wait * random.uniform(1.0, 1.2))  # noqa: S311
