"""Retry policy of zone 3: an error is retried after a while, or ends the item or job."""

import logging
from dataclasses import dataclass

from engine.errors import AppError, DeadlineExceeded, ModelRateLimited
from engine.process.backoff import backoff

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0

UNRECORDABLE = "unrecordable"
UNRECORDABLE_MESSAGE = "The database refuses to store the result."


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt. `wait`: seconds after which another may succeed, None if none will."""

    code: str
    message: str
    wait: float | None
    own: bool = True
    """Whether it counts among the tries: a full provider is no failure of the item or job."""

    def delay(self, errors: int, attempts: int) -> float | None:
        """Return the seconds before the next of `attempts` tries, None where that was the last.

        They double with each of the `errors` before and have jitter: items do not come in step.
        """
        if self.wait is None or (self.own and errors + 1 >= attempts):
            return None
        return self.wait + backoff(errors, FIRST_DELAY, LONGEST_DELAY)


def failure_of(error: Exception) -> Failure:
    """Return the failure of an attempt that raised `error`.

    A transient error (`retry_after` is set, or time ran out) may be retried; so may an unexpected
    one, which is logged.
    """
    match error:
        case TimeoutError() | DeadlineExceeded():
            message = "The model took longer than the time limit."
            return Failure("deadline_exceeded", message, FIRST_DELAY)
        case ModelRateLimited():
            return Failure("model_rate_limited", error.message, error.retry_after, own=False)
        case AppError():
            return Failure(error.code or "model_error", error.message, error.retry_after)
        case _:
            log.error("an attempt failed", exc_info=error)
            return Failure("internal_error", "The server failed.", FIRST_DELAY)
