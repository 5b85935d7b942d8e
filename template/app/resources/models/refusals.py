"""What a model server's refusal means to our caller."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from app.errors import (
    AppError,
    ModelDown,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    NotFound,
)

DEFAULT_WAIT = 1.0


class Detail(msgspec.Struct):
    """OpenAI's error object."""

    message: str = "The model server gave no reason."
    param: str | None = None
    code: str | int | None = None


class Envelope(msgspec.Struct):
    """OpenAI's error envelope."""

    error: Detail | str


def refusal(status: int, headers: Mapping[str, str], body: bytes) -> AppError:
    """Return the error for an answer with this status, which is not a good one."""
    detail = _detail(body)
    code = str(detail.code) if detail.code is not None else None
    match status:
        case 401 | 403:
            # Ours is wrong, not the caller's; what the server says may quote the key.
            return ModelError("The model server refuses this service's own key.")
        case 404 if code == "model_not_found" or "model" in detail.message.lower():
            return NotFound(detail.message, param="model", code="model_not_found")
        case 429 | 529:  # 529 is Anthropic's "overloaded"
            return _too_much(detail.message, code, headers)
        case 408:
            return ModelUnavailable(detail.message, code=code)
        case _ if status >= 500:
            kind = ModelDown if status in (502, 503, 504) else ModelUnavailable
            message = f"The model server failed: {detail.message}"
            return kind(message, retry_after=_wait(headers))
    return ModelRejected(detail.message, param=detail.param, code=code)


def _too_much(message: str, code: str | None, headers: Mapping[str, str]) -> ModelError:
    if code == "insufficient_quota":  # no wait helps; OpenAI says it with the same status
        return ModelError("The model server's account of this service is used up.")
    error = ModelRateLimited(message, code=code, retry_after=_wait(headers))
    if {"retry-after", "retry-after-ms"} & {name.lower() for name in headers}:
        error.pause = error.retry_after or 0.0
    return error


def _detail(body: bytes) -> Detail:
    try:
        error = msgspec.json.decode(body, type=Envelope).error
    except msgspec.MsgspecError:
        return Detail()
    return Detail(error) if isinstance(error, str) else error


def _wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server asks to wait, in any of the three forms there are."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
        return max(0.0, float(headers.get("retry-after", DEFAULT_WAIT)))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return DEFAULT_WAIT
    return max(0.0, moment.timestamp() - time.time())
