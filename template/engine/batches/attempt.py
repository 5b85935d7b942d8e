"""One attempt at one item of a batch."""

import asyncio

from engine import deadline
from engine.batches.batches import Work
from engine.batches.items import ClaimedItem, ItemOutcome
from engine.models.reading import one_line
from engine.resources import Resources, model_for
from engine.work.retry_policy import failure_of


async def attempt_item(resources: Resources, work: Work, item: ClaimedItem) -> ItemOutcome:
    """Run the item by the same function as a request; raise only when cancelled.

    A transient error is retried, up to `batch_attempts` times; any other ends the item.
    """
    operation = resources.operations[work.endpoint]
    # `items.record_items` counts its tokens.
    model = model_for(resources, work.caller_id, counted=False)
    try:
        body = operation.body.model_validate_json(item.body)
        # Not by `request_timeout`: that is a call's, and an item may wait long for its slot.
        async with asyncio.timeout_at(deadline.ends_at.get()):
            answer = await operation.run(model, body)
        return ItemOutcome(
            item.id,
            item.attempt,
            "succeeded",
            response=one_line(answer.body),
            usage=answer.usage,
            model=operation.model_of(body),
        )
    except Exception as error:  # noqa: BLE001 -- any error is the item's outcome
        return _failed(resources, item, error)


def _failed(resources: Resources, item: ClaimedItem, error: Exception) -> ItemOutcome:
    failure = failure_of(error)
    delay = failure.delay(item.errors, resources.settings.batch_attempts)
    return ItemOutcome(
        item.id,
        item.attempt,
        "failed" if delay is None else "pending",
        error_code=failure.code,
        error_message=failure.message,
        own=failure.own,
        delay=delay or 0.0,
    )
