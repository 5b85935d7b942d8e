"""The webhook client: sends to receivers at addresses that callers choose."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from engine.process.http import Http
from engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer of a receiver. `retry_after` is in seconds, 0 where it did not say."""

    status: int
    retry_after: float


class WebhookClient:
    """Sends to addresses that callers have chosen, with the guarded client."""

    def __init__(self, guarded_http: Http, settings: Settings) -> None:
        self._http = guarded_http
        self._limit = settings.webhook_timeout
        self._agent = f"{settings.service_slug}-webhooks"

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        """Return the status of the answer. Its body is not read; a redirect is an answer too.

        Raise `TimeoutError` after `webhook_timeout` in all, and an error of httpx where there is
        no answer or the address is not public.
        """
        sent = {"user-agent": self._agent, **headers}
        answer = self._http.stream("POST", url, content=body, headers=sent, timeout=self._limit)
        async with asyncio.timeout(self._limit), answer as response:
            return Reply(response.status_code, _seconds(response.headers.get("retry-after", "0")))


def _seconds(retry_after: str) -> float:
    """Return the seconds of `Retry-After` in either form of RFC 9110, 0 where it is neither."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
