"""Tells webhooks: sends each message until its receiver takes it or the tries are used up.

A message may arrive twice, as after a kill between its arrival and its record; its id stays.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from typing import Any

from standardwebhooks import Webhook

from app.domain import notifications
from app.domain.notifications import Notification, Outcome
from app.resources.lifespan import Resources
from app.telemetry import request_id

log = logging.getLogger(__name__)

GONE = 410
LONGEST_ASKED = 86_400.0
"""Seconds; a receiver may ask for a longer wait, but what is a day late is of no use."""


async def claim(
    resources: Resources, _stopping: asyncio.Event
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Claim the message that is due for longest; return what sends it, or None where none is due.

    It is claimed for longer than a try can take, so that no other worker sends it meanwhile.
    """
    settings = resources.settings
    notification = await resources.database.write(
        notifications.claim,
        seconds=settings.webhook_timeout + settings.lease_seconds,
        most_in_flight=settings.webhooks_in_flight,
    )
    return partial(deliver, resources, notification) if notification else None


async def deliver(resources: Resources, notification: Notification) -> None:
    """Send a claimed message once and record what came of it."""
    request_id.set(notification.id)
    outcome = await _send(resources, notification)
    if outcome.error:
        log.warning("webhook %s, try %s: %s", notification.url, notification.attempt, outcome.error)
    if outcome.http_status == GONE:
        await resources.database.write(notifications.disable, notification.webhook_id)
    else:
        await resources.database.write(notifications.record, notification, outcome)


async def _send(resources: Resources, notification: Notification) -> Outcome:
    waits = resources.settings.webhook_waits
    try:
        reply = await resources.receivers.post(
            notification.url, notification.payload, _headers(notification)
        )
    except Exception as error:  # noqa: BLE001 -- one that came out would be tried for ever
        return _failed(waits, notification, None, f"{type(error).__name__}: {error}")
    if 200 <= reply.status < 300:
        return Outcome("delivered", reply.status)
    message = f"The receiver answered {reply.status}."
    return _failed(waits, notification, reply.status, message, reply.retry_after)


def _headers(notification: Notification) -> dict[str, str]:
    """Return the headers of Standard Webhooks, with a signature by each secret that is valid."""
    moment = datetime.now(UTC)  # the library takes a time of any other zone for UTC
    text = notification.payload.decode()
    signatures = [
        Webhook(each).sign(notification.id, moment, text) for each in notification.secrets
    ]
    return {
        "content-type": "application/json",
        "webhook-id": notification.id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _failed(
    waits: tuple[float, ...],
    notification: Notification,
    status: int | None,
    message: str,
    asked: float = 0.0,
) -> Outcome:
    error = " ".join(message.replace("\0", "").split())  # PostgreSQL cannot store NUL
    if notification.attempt > len(waits):
        return Outcome("dead", status, error)
    wait = max(waits[notification.attempt - 1], min(asked, LONGEST_ASKED))
    # Longer by chance, so that messages which failed together do not come together again.
    return Outcome("pending", status, error, delay=wait * random.uniform(1.0, 1.2))  # noqa: S311
