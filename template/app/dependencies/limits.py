"""How often this caller may ask: counts a call, refuses one too many, tells what is left."""

import math
import time
from typing import Annotated

from fastapi import Depends

from app.dependencies.caller import CurrentCaller
from app.dependencies.resources import Shared
from app.errors import RateLimited
from app.resources.rates import Rate


async def within_limits(caller: CurrentCaller, shared: Shared) -> dict[str, str]:
    """Return the `x-ratelimit-*` headers of the answer, none where there is no limit.

    Raise `RateLimited` when none of the calls is left.
    """
    limit = caller.requests_per_minute or shared.settings.requests_per_minute
    if not limit:
        return {}
    rate = await shared.rates.hit(caller.id, limit)
    if rate is None:
        return {}
    wait = max(0.0, rate.reset - time.time())
    if not rate.allowed:
        raise RateLimited(
            f"You have used your {limit} requests of this minute.", retry_after=max(wait, 0.1)
        )
    return _headers(rate, wait)


def _headers(rate: Rate, wait: float) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(rate.limit),
        "x-ratelimit-remaining-requests": str(rate.remaining),
        "x-ratelimit-reset-requests": f"{math.ceil(wait * 1000)}ms",
    }


RateHeaders = Annotated[dict[str, str], Depends(within_limits)]
