"""`app.errors` to HTTP: one table, and OpenAI's envelope on everything that is not a success."""

import logging
import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app import errors
from app.dependencies.body import invalid
from app.dependencies.disconnect import ClientGoneError
from app.telemetry import request_id

log = logging.getLogger(__name__)

CLIENT_GONE = 499
"""nginx's status for a client that closed the connection first."""

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
    errors.ShuttingDown: (503, "server_error"),
    errors.DatabaseUnavailable: (503, "server_error"),
    errors.DeadlineExceeded: (504, "server_error"),
    errors.ModelRejected: (400, "invalid_request_error"),
    errors.ModelRateLimited: (429, "rate_limit_error"),
    errors.ModelUnavailable: (503, "server_error"),
    errors.ModelError: (502, "server_error"),
}
"""Status and OpenAI's error type of each class; a class that is missing has its parent's."""


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of `app` an answer in OpenAI's envelope."""
    app.add_exception_handler(errors.AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientGoneError, _client_gone)
    app.add_exception_handler(ClientDisconnect, _client_gone)  # in the middle of its own request


def envelope(error: errors.AppError) -> dict[str, Any]:
    """Return OpenAI's error object for `error`."""
    return _envelope(error.message, _status(error)[1], error.param, error.code)


def status_code(error: errors.AppError) -> int:
    """Return the HTTP status of `error`."""
    return _status(error)[0]


def come_back(seconds: float) -> dict[str, str]:
    """Return the headers that tell a client when to ask again; OpenAI's reads the second first."""
    return {
        "retry-after": str(math.ceil(seconds)),
        "retry-after-ms": str(math.ceil(seconds * 1000)),
    }


def answer_to(error: errors.AppError) -> JSONResponse:
    """Return the whole answer that tells of `error`."""
    return JSONResponse(envelope(error), status_code(error), headers=_headers(error))


def bad_url() -> JSONResponse:
    """Return the answer to a URL that nothing here can have."""
    error = errors.InvalidRequest("The URL has a NUL character.", code="invalid_url")
    return answer_to(error)


def internal_error() -> JSONResponse:
    """Return the answer to an error that nobody foresaw: the id to look up, and nothing else."""
    message = f"The server failed. Its log explains request {request_id.get()}."
    return JSONResponse(_envelope(message, "server_error", None, "internal_error"), 500)


async def _app_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.AppError)  # noqa: S101 -- registered for this class only
    if isinstance(error, errors.DatabaseUnavailable):
        log.warning("the database does not serve: %r", error.__cause__)
    return answer_to(error)


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    return answer_to(invalid(list(error.errors())))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    phrase = HTTPStatus(error.status_code).phrase
    kind = "server_error" if error.status_code >= 500 else "invalid_request_error"
    body = _envelope(str(error.detail), kind, None, phrase.lower().replace(" ", "_"))
    return JSONResponse(body, error.status_code, headers=dict(error.headers or {}))


async def _client_gone(_request: Request, _error: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)


def _status(error: errors.AppError) -> tuple[int, str]:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


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
