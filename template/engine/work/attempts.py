"""What becomes of an error in zone 3: tried again after a while, or the end of the item or job."""

import logging
from dataclasses import dataclass

from engine.errors import AppError, DeadlineExceeded, ModelRateLimited
from engine.process.backoff import backoff

log = logging.getLogger(__name__)

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0

UNRECORDABLE = "unrecordable"
UNRECORDABLE_MESSAGE = "The database refuses to keep what came of this."


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed. `wait`: after which seconds another may succeed, None if none will."""

    code: str
    message: str
    wait: float | None
    own: bool = True
    """Whether it counts among the tries: that the provider is full is nobody's failure."""

    def delay(self, errors: int, attempts: int) -> float | None:
        """Return the seconds before the next of `attempts` tries, None where that was the last.

        They double with each of the `errors` before and differ, so that items do not come in step.
        """
        if self.wait is None or (self.own and errors + 1 >= attempts):
            return None
        return self.wait + backoff(errors, FIRST_DELAY, LONGEST_DELAY)


def failure_of(error: Exception) -> Failure:
    """Return what an attempt that raised `error` failed of.

    An error that may pass (`retry_after` is set, or time ran out) may be tried again; so may one
    that nobody foresaw, which is logged.
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
