"""How often and how much at once this caller may ask: counts, refuses, tells what is left."""

import math
import time
from collections.abc import Mapping
from typing import Annotated

from fastapi import Depends, Request

from app import metrics
from app.dependencies.caller import CurrentCaller
from app.dependencies.held import Holding
from app.dependencies.resources import opened
from app.domain.keys import Caller
from app.errors import RateLimited
from app.resources.lifespan import Resources
from app.resources.rates import Rate


async def within_limits(request: Request, caller: CurrentCaller) -> dict[str, str]:
    """Return the answer's `x-ratelimit-*` headers, and hold a place among the caller's calls.

    Raise `RateLimited` when the caller's minute is used up or all places are taken.
    """
    shared = opened(request)
    headers = await _hit(caller, shared)
    _hold_call(caller, shared, request.state.held, headers)
    return headers


async def _hit(caller: Caller, shared: Resources) -> dict[str, str]:
    limit = caller.requests_per_minute or shared.settings.requests_per_minute
    if not limit:
        return {}
    rate = await shared.rates.hit(caller.id, limit)
    if rate is None:
        return {}
    wait = max(0.0, rate.reset - time.time())
    if not rate.allowed:
        metrics.refused.labels("requests_per_minute").inc()
        message = f"You have used your {limit} requests of this minute."
        raise RateLimited(message, retry_after=max(wait, 0.1), headers=_headers(rate, wait))
    return _headers(rate, wait)


def _hold_call(
    caller: Caller, shared: Resources, held: Holding, headers: Mapping[str, str]
) -> None:
    limit = shared.settings.calls_per_caller
    if not shared.calls.begin(caller.id, limit):
        metrics.refused.labels("calls_per_caller").inc()
        message = f"You have {limit} calls in flight: wait until one has ended."
        raise RateLimited(message, code="too_many_calls_in_flight", headers=headers)
    held.append(lambda: shared.calls.end(caller.id))


def _headers(rate: Rate, wait: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{math.ceil(wait * 1000)}ms",
    }


RateHeaders = Annotated[dict[str, str], Depends(within_limits)]
