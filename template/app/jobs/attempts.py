"""One attempt at one item of a batch."""

import asyncio
import logging
import random

from app.domain.items import Claimed, Outcome
from app.domain.operations import operations
from app.errors import AppError
from app.resources.lifespan import Resources

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0


async def attempt(resources: Resources, endpoint: str, item: Claimed) -> Outcome:
    """Run the item by the same function as a request; never raise but when cancelled.

    An error that may pass (`retry_after` is set, or time ran out) is tried again after growing
    waits, up to `batch_attempts` times; any other ends the item.
    """
    operation = operations()[endpoint]
    try:
        body = operation.body.model_validate_json(item.body)
        async with asyncio.timeout(resources.settings.request_timeout):
            answer = await operation.run(resources, body)
    except AppError as error:
        return _failed(resources, item, error.code, error.message, error.retry_after)
    except TimeoutError:
        message = "The model took longer than the time limit."
        return _failed(resources, item, "deadline_exceeded", message, FIRST_DELAY)
    except Exception:
        log.exception("item %s failed", item.id)
        return _failed(resources, item, "internal_error", "The server failed.", FIRST_DELAY)
    return Outcome(
        item.id,
        item.attempt,
        "succeeded",
        response=answer.body,
        usage=answer.usage,
        model=operation.model_of(body),
    )


def _failed(
    resources: Resources, item: Claimed, code: str | None, message: str, wait: float | None
) -> Outcome:
    again = wait is not None and item.errors + 1 < resources.settings.batch_attempts
    return Outcome(
        item.id,
        item.attempt,
        "pending" if again else "failed",
        error_code=code or "model_error",
        error_message=message.replace("\0", ""),  # which PostgreSQL cannot store
        delay=_delay(item.errors, wait or 0.0),
    )


def _delay(errors: int, wait: float) -> float:
    """Return seconds that double with each error and differ, so that items do not come in step."""
    growing = min(LONGEST_DELAY, FIRST_DELAY * 2.0**errors)
    return max(wait, growing) * random.uniform(1.0, 1.5)  # noqa: S311 -- no secret
