"""The client for the receivers of webhooks, whose addresses the callers choose."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from engine.process.http import Http
from engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered. `retry_after` is in seconds, 0 where it did not say."""

    status: int
    retry_after: float


class WebhookClient:
    """Sends to addresses that callers have chosen, with a client that guards against them."""

    def __init__(self, guarded_http: Http, settings: Settings) -> None:
        self._http = guarded_http
        self._limit = settings.webhook_timeout
        self._agent = f"{settings.service_slug}-webhooks"

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Return the status of the answer, whose body is not read; a redirect is an answer too.

        Raise `TimeoutError` after `webhook_timeout` in all, and what httpx raises where there is
        no answer or the address is not public.
        """
        sent = {"user-agent": self._agent, **headers}
        answer = self._http.stream("POST", url, content=body, headers=sent, timeout=self._limit)
        async with asyncio.timeout(self._limit), answer as response:
            return Reply(response.status_code, _seconds(response.headers.get("retry-after", "0")))


def _seconds(retry_after: str) -> float:
    """Return what `Retry-After` says in either of its forms (RFC 9110), 0 where it is neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
