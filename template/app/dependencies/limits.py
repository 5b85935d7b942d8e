"""Rate limits and calls in flight of this caller: counts, refuses, tells the remainder."""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel

from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import opened
from engine.callers.keys import Caller
from engine.errors import RateLimited
from engine.models.quota import cost_of
from engine.resources import Resources
from engine.slots.admission_queue import OnFinish
from engine.slots.caller_limits import Cost, Rate
from engine.watch import metrics


async def within_limits(request: Request, caller: CurrentCaller) -> dict[str, str]:
    """Return the answer's `x-ratelimit-*` headers, and hold a place among the caller's calls.

    A body counts by its tokens where it has been read before. Raise `RateLimited` when the caller's
    requests or tokens are used up for now, or all places are taken.
    """
    shared, request.state.limited = opened(request), True
    headers = await _hit(caller, shared, getattr(request.state, "body", None))
    _hold_call(caller, shared, request.state.on_finish, headers)
    return headers


async def _hit(caller: Caller, shared: Resources, body: BaseModel | None) -> dict[str, str]:
    requests = caller.requests_per_minute or shared.settings.requests_per_minute
    tokens = shared.settings.tokens_per_minute
    asked = [Cost("requests", requests), Cost("tokens", tokens, cost_of(body) if body else 0)]
    costs = [cost for cost in asked if cost.limit]
    rates = await shared.rates.hit(caller.id, costs) if costs else None
    if rates is None:
        return {}
    headers = {name: value for rate in rates for name, value in _headers(rate)}
    over = max(rates, key=lambda rate: rate.wait)
    if over.wait:
        metrics.refused.labels(f"{over.kind}_per_minute").inc()
        short = f"{over.kind} per min ({over.kind[0].upper()}PM)"
        message = (  # OpenAI's words: some clients read the time out of them
            f"Rate limit reached on {short}: Limit {over.limit}. "
            f"Please try again in {over.wait:.3f}s."
        )
        raise RateLimited(message, retry_after=over.wait, headers=headers)
    return headers


def _hold_call(
    caller: Caller, shared: Resources, on_finish: OnFinish, headers: Mapping[str, str]
) -> None:
    limit = shared.settings.calls_per_caller
    if not shared.calls.begin(caller.id, limit):
        metrics.refused.labels("calls_per_caller").inc()
        message = f"You have {limit} calls in flight: wait until one has ended."
        raise RateLimited(message, code="too_many_calls_in_flight", headers=headers)
    on_finish.append(lambda: shared.calls.end(caller.id))


def _headers(rate: Rate) -> Iterator[tuple[str, str]]:
    yield f"x-ratelimit-limit-{rate.kind}", str(rate.limit)
    yield f"x-ratelimit-remaining-{rate.kind}", str(rate.remaining)
    yield f"x-ratelimit-reset-{rate.kind}", f"{math.ceil(rate.reset * 1000)}ms"


RateHeaders = Annotated[dict[str, str], Depends(within_limits)]
