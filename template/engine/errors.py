"""Errors in the caller's words. `app/api/errors.py` maps each class to an HTTP status.

OpenError                     the process cannot start
└── Misconfigured             ... with these settings and features
AppError
├── InvalidRequest            the request cannot be served as it is
│   ├── Unsupported           ... because this provider lacks the asked-for feature
│   ├── TooLarge              ... because it is larger than a limit
│   └── KeyReused             ... because its `Idempotency-Key` was another request's
├── Unauthenticated           no valid API key
├── PermissionDenied          a valid key that may not do this
├── NotFound                  no such thing, or not this caller's
├── Conflict                  the thing is in a state that forbids this
├── RateLimited               the caller asks too often, or too much at once
├── Overloaded                this server is full
├── Unavailable               the database or the disk cannot be used now
├── ShuttingDown              this process is about to end
├── ReceiverUnreachable       the caller's own receiver of webhooks cannot be reached
├── DeadlineExceeded          the request's time ran out
└── ModelError                the model's provider failed
    ├── ModelRejected         ... it refuses this request, and will again
    ├── ModelRateLimited      ... it is asked too often
    ├── ModelTimeout          ... it is silent, and may charge for its work
    └── ModelUnavailable      ... it fails
        └── ModelDown         ... for everybody: it cannot be reached or has no room
"""

from collections.abc import Mapping
from types import MappingProxyType

LONGEST_MESSAGE, LONGEST_CODE = 2000, 100
"""Most characters of an error's message and of its code, which may be another server's text."""


def readable_error(text: str, longest: int) -> str:
    """Return text that every database and every client takes, cut to the longest."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return cut.replace("\0", "").encode(errors="replace").decode()


class OpenError(Exception):
    """A resource could not be opened, so the process does not start; the message names it."""


class Misconfigured(OpenError):
    """Settings or features do not allow a start; `problems` has one sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class AppError(Exception):
    """An error whose message may be shown to the caller."""

    code: str | None = None
    """Machine-readable reason, as in OpenAI's error envelope."""

    retry_after: float | None = None
    """Seconds after which the same request may succeed; None where waiting does not help."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.message = readable_error(message, LONGEST_MESSAGE)
        super().__init__(self.message)
        self.param = readable_error(param, LONGEST_CODE) if param else param
        code = code or self.code
        self.code = readable_error(code, LONGEST_CODE) if code else code
        self.retry_after = retry_after if retry_after is not None else self.retry_after


class InvalidRequest(AppError):
    """The request cannot be served as it is."""


class Unsupported(InvalidRequest):
    """The model provider lacks a feature that the request asks for."""

    code = "unsupported_parameter"


class TooLarge(InvalidRequest):
    """The request is larger than a limit."""

    code = "request_too_large"


class KeyReused(InvalidRequest):
    """The `Idempotency-Key` has been sent with another request before."""

    code = "idempotency_key_reused"


class Unauthenticated(AppError):
    """There is no valid API key."""

    code = "invalid_api_key"


class PermissionDenied(AppError):
    """The API key is valid but may not do this."""

    code = "permission_denied"


class NotFound(AppError):
    """There is no such thing, or it belongs to another caller."""

    code = "not_found"


class Conflict(AppError):
    """The thing is in a state that forbids this."""

    code = "conflict"


class RateLimited(AppError):
    """The caller asks too often, or too much at once."""

    code = "rate_limit_exceeded"
    retry_after: float | None = 1.0

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.headers = headers
        """Headers of the answer with the remainder of the caller's limits."""


class Overloaded(AppError):
    """This server is full."""

    code = "overloaded"
    retry_after = 1.0


class Unavailable(AppError):
    """The database or the disk cannot be used now: it is away, full, locked or too slow."""

    code = "service_unavailable"
    retry_after = 5.0

    def __init__(self) -> None:
        super().__init__("The server cannot read or write its data now. Ask again in a moment.")


class ShuttingDown(AppError):
    """This process is about to end; another one answers."""

    code = "shutting_down"
    retry_after = 1.0


class ReceiverUnreachable(AppError):
    """The receiver of webhooks that the caller has chosen gives no answer."""

    code = "receiver_unreachable"


class DeadlineExceeded(AppError):
    """The request's time ran out."""

    code = "deadline_exceeded"


class ModelError(AppError):
    """The model's provider failed."""

    code = "model_error"


class ModelRejected(ModelError):
    """The provider refuses this request and will refuse it again."""

    code = "model_rejected"
    status = 400
    """The provider's HTTP status, which is also ours: the caller's client knows its meaning."""


class ModelRateLimited(ModelError):
    """The provider is asked too often."""

    code = "model_rate_limited"
    retry_after = 1.0
    pause: float = 0.0
    """Seconds for which it wants no call at all, where it says so."""


class ModelTimeout(ModelError, TimeoutError):
    """The provider had the request and was silent: a second try may be paid for twice."""

    code = "model_timeout"


class ModelUnavailable(ModelError):
    """The provider fails at this request, and may not fail at it again."""

    code = "model_unavailable"
    retry_after = 1.0


class ModelDown(ModelUnavailable):
    """The provider cannot be reached or says that it serves no request now."""
