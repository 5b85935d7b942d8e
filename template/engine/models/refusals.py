"""Maps refusals of model servers, in any envelope, to errors for our caller."""

import json
import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from engine.errors import (
    AppError,
    ModelDown,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    NotFound,
)

LONGEST_BODY = 2**16
"""Bytes of a refusal that are read; the reason stands among the first of them."""

DEFAULT_WAIT, LONGEST_WAIT = 1.0, 3600.0
"""Seconds to wait where the server says nothing, and at most, whatever it says."""

REASONS = ("error", "message", "detail", "errors", "msg", "Message", "title", "reason", "fault")
"""Where servers put the reason; objects are looked into before texts are taken."""

PATHS = "OPENAI_BASE_URL, and OPENAI_RESPONSES for responses"
"""Settings that decide on the paths of calls."""

SPENT = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
"""Codes of an account that is used up. OpenAI's status for it is that of too many calls."""

STATUS = {
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "overloaded_error": 529,
}
"""The HTTP status of each code, where the status of the answer itself is a good one."""


@dataclass(frozen=True, slots=True)
class Detail:
    """A server's description of its error."""

    message: str = "The model server gave no reason."
    param: str | None = None
    code: str | None = None
    kind: str | None = None
    """OpenAI's `type`."""


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> AppError:
    """Return the error for an answer with this status, which is not a good one."""
    return _error(status, headers, _detail(body))


def refusal_within(body: bytes) -> AppError:
    """Return the error that stands in an answer with a good status."""
    detail = _detail(body)
    for said in (detail.code, detail.kind):
        if said and re.fullmatch("[45][0-9][0-9]", said):
            return _error(int(said), {}, detail)
        if said and "image" in said:  # `invalid_image_url` and a dozen like it
            return _error(400, {}, detail)
        if said in STATUS:
            return _error(STATUS[said], {}, detail)
    return _error(500, {}, detail)


def _error(status: int, headers: Mapping[str, str], detail: Detail) -> AppError:
    return (
        _operators(status, headers, detail)
        or _passing(status, headers, detail)
        or (_callers(status, detail))
    )


def _operators(status: int, headers: Mapping[str, str], detail: Detail) -> ModelError | None:
    """Return the error that only a setting, or an account, can mend."""
    if status == 402 or SPENT & {detail.code, detail.kind}:
        message = "This service's account at the model server is used up: check OPENAI_API_KEY's."
    elif status < 400:
        target = headers.get("location", "another place")
        message = f"The model server redirects to {target}: change OPENAI_BASE_URL."
    elif status in (401, 403, 407):
        # The server's message may quote the key.
        message = "The model server refuses this service's own key: check OPENAI_API_KEY."
    elif status == 405 or (status == 404 and not _names_a_thing(detail)):
        message = f"The model server lacks this path: check {PATHS}. {detail.message}"
    elif status == 501:
        message = f"The model server cannot do this: {detail.message}"
    else:
        return None
    return ModelError(message)


def _passing(status: int, headers: Mapping[str, str], detail: Detail) -> ModelError | None:
    """Return the error of a server that may do better a moment later."""
    if status in (429, 529):  # 529 is Anthropic's "overloaded"
        return _too_much(detail.message, detail.code, headers)
    if status in (408, 425):
        return ModelUnavailable(detail.message, code=detail.code)
    if status >= 500:
        kind = ModelDown if status in (502, 503, 504) else ModelUnavailable
        return kind(f"The model server failed: {detail.message}", retry_after=_wait(headers))
    return None


def _callers(status: int, detail: Detail) -> AppError:
    """Return the error of a request that is wrong, with the server's own reason and status."""
    if status == 404 and _names_a_model(detail):
        return NotFound(detail.message, param="model", code="model_not_found")
    error = ModelRejected(detail.message, param=detail.param, code=detail.code)
    error.status = status
    return error


def _names_a_model(detail: Detail) -> bool:
    return detail.code == "model_not_found" or bool(re.search(r"\bmodel\b", detail.message.lower()))


def _names_a_thing(detail: Detail) -> bool:
    """Return whether a 404 is about a thing that the request names, and not about its path."""
    code = detail.code and not detail.code.isdecimal()
    return bool(code or detail.param) or _names_a_model(detail)


def _too_much(message: str, code: str | None, headers: Mapping[str, str]) -> ModelError:
    error = ModelRateLimited(message, code=code, retry_after=_wait(headers))
    if {"retry-after", "retry-after-ms"} & {name.lower() for name in headers}:
        error.pause = error.retry_after or 0.0
    return error


def _detail(body: bytes) -> Detail:
    text = body[:LONGEST_BODY].decode(errors="replace")
    try:
        said = json.loads(text)
        found = _reason(said)
    except (ValueError, RecursionError):
        said = text = " ".join(re.sub(r"<[^>]*>", " ", text).split())
        found = None
    return found or (Detail(text) if said else Detail())


def _reason(said: object) -> Detail | None:
    """Return the first reason in a server's answer, with the names that stand beside it."""
    if isinstance(said, str) and said:
        return Detail(said)
    if isinstance(said, list):
        return next(filter(None, map(_reason, said)), None)
    if not isinstance(said, dict):
        return None
    reasons = [said[name] for name in REASONS if said.get(name)]
    found = _reason(sorted(reasons, key=lambda each: isinstance(each, str)))
    if found is None:
        return None
    return Detail(
        found.message,
        found.param or _name(said.get("param") or said.get("loc")),
        found.code or _name(said.get("code")),
        found.kind or _name(said.get("type")),
    )


def _name(said: object) -> str | None:
    if isinstance(said, list):
        return ".".join(map(str, said))
    return str(said) if isinstance(said, str | int) else None


def _wait(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server asks to wait, in any of the three forms there are."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            seconds = float(headers[name]) * unit
            if math.isfinite(seconds):
                return min(max(0.0, seconds), LONGEST_WAIT)
    with suppress(KeyError, ValueError, OverflowError):
        seconds = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        return min(max(0.0, seconds), LONGEST_WAIT)
    return DEFAULT_WAIT
