"""`engine.errors` to HTTP: one table, and OpenAI's envelope on all that is not a success."""

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.dependencies.model import ClientGoneError
from engine import errors
from engine.body import invalid_body
from engine.watch.telemetry import request_id

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""nginx's status for a client that closed the connection first."""

LONGEST_WAIT = 86_400.0
"""Seconds after which a client is told to ask again, at most."""

STATUS: dict[type[errors.AppError], tuple[int, str]] = {
    errors.TooLarge: (413, "invalid_request_error"),
    errors.KeyReused: (422, "invalid_request_error"),
    errors.InvalidRequest: (400, "invalid_request_error"),
    errors.Unauthenticated: (401, "authentication_error"),
    errors.PermissionDenied: (403, "permission_error"),
    errors.NotFound: (404, "invalid_request_error"),
    errors.Conflict: (409, "invalid_request_error"),
    errors.ReceiverUnreachable: (424, "invalid_request_error"),
    errors.RateLimited: (429, "rate_limit_error"),
    errors.Overloaded: (503, "server_error"),
    errors.Unavailable: (503, "server_error"),
    errors.ShuttingDown: (503, "server_error"),
    errors.DeadlineExceeded: (504, "server_error"),
    errors.ModelRateLimited: (429, "rate_limit_error"),
    errors.ModelTimeout: (504, "server_error"),
    errors.ModelUnavailable: (503, "server_error"),
    errors.ModelRejected: (400, "invalid_request_error"),
    errors.ModelError: (502, "server_error"),
}
"""Status and OpenAI's error type of each class; a class that is missing has its parent's."""


class ErrorObject(BaseModel):
    """OpenAI's error object."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """OpenAI's envelope of an error."""

    error: ErrorObject


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` an answer in OpenAI's envelope."""
    app.add_exception_handler(errors.AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientGoneError, _client_gone)
    app.add_exception_handler(ClientDisconnect, _client_gone)  # in the middle of its own request


def failures(*kinds: type[errors.AppError]) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of a route that may end in these errors."""
    told: dict[int, list[str]] = {}
    for kind in kinds:
        code = f" Code: `{kind.code}`." if kind.code else ""
        told.setdefault(_status(kind)[0], []).append(f"{kind.__doc__}{code}")
    return {status: {"description": " ".join(lines)} for status, lines in told.items()}


def envelope(error: errors.AppError) -> dict[str, Any]:
    """Return OpenAI's error object for `error`."""
    return _envelope(error.message, _status(type(error))[1], error.param, error.code)


def status_code(error: errors.AppError) -> int:
    """Return the HTTP status of `error`."""
    return error.status if isinstance(error, errors.ModelRejected) else _status(type(error))[0]


def come_back(seconds: float) -> dict[str, str]:
    """Return the headers that say when to ask again; OpenAI's client reads the second first."""
    seconds = max(0.0, min(LONGEST_WAIT, seconds))  # in this order NaN is the longest
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def answer_to(error: errors.AppError) -> JSONResponse:
    """Return the whole answer that tells of `error`."""
    return JSONResponse(envelope(error), status_code(error), headers=_headers(error))


def bad_url() -> JSONResponse:
    """Return the answer to a URL with a NUL character."""
    error = errors.InvalidRequest("The URL has a NUL character.", code="invalid_url")
    return answer_to(error)


def internal_error() -> JSONResponse:
    """Return the answer to an unexpected error: the request id to look up, and nothing else."""
    message = f"The server failed. Its log explains request {request_id.get()}."
    return JSONResponse(_envelope(message, "server_error", None, "internal_error"), 500)


def unavailable(scope: Scope, error: BaseException | None) -> JSONResponse:
    """Return the answer while the database or the disk cannot be used, and log why in one line."""
    cause = getattr(error, "orig", error)  # without the statement
    log.error("%s %s has no data: %r", scope["method"], scope["path"], cause)
    return answer_to(errors.Unavailable())


async def _app_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.AppError)  # noqa: S101 -- registered for this class only
    if isinstance(error, errors.Unavailable):
        return unavailable(request.scope, error.__cause__)
    return answer_to(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    where, *path = (first := error.errors()[0])["loc"]
    sent = {"query": request.query_params, "header": request.headers, "path": request.path_params}
    data = dict(sent[where]) if where in sent else error.body
    return answer_to(invalid_body([{**first, "loc": path}], data))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    phrase, detail = HTTPStatus(error.status_code).phrase, str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND and detail == phrase:
        detail = _nothing_there(request)
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    body = _envelope(detail, kind, None, phrase.lower().replace(" ", "_"))
    return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))


def _nothing_there(request: Request) -> str:
    """Return a message with the requested path and the known ones."""
    paths = {str(each.path) for each in iter_route_contexts(request.app.routes)}
    known = sorted(path for path in paths if "{" not in path)
    return f"There is nothing at {request.url.path[:100]}. There is: {', '.join(known)}."


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _status(kind: type[errors.AppError]) -> tuple[int, str]:
    return next(STATUS[each] for each in kind.__mro__ if each in STATUS)


def _headers(error: errors.AppError) -> dict[str, str]:
    headers = {}
    if isinstance(error, errors.Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    if isinstance(error, errors.RateLimited):
        headers |= error.headers
    if error.retry_after is not None:
        headers |= come_back(error.retry_after)
    elif status_code(error) >= 409:
        headers["x-should-retry"] = "false"  # the official client would try twice more
    return headers


def _envelope(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
