"""Signatures by Standard Webhooks, from which a receiver knows that a message is ours."""

from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook


def signed_headers(message_id: str, payload: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """Return the headers of a message that is sent now, with a signature by each secret."""
    moment = datetime.now(UTC)  # the library takes a time of any other zone for UTC
    text = payload.decode()
    signatures = [Webhook(secret).sign(message_id, moment, text) for secret in secrets]
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
