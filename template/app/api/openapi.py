"""The OpenAPI schema: FastAPI's own, and the errors that a route's dependencies raise."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from app.api.errors import ErrorAnswer, failures
from app.dependencies import caller, idempotency, limits, model
from app.settings import Settings
from engine import errors

ANYWHERE = (errors.InvalidRequest, errors.Overloaded, errors.DeadlineExceeded)
"""Errors that the middleware answers with."""

RAISED: dict[Callable[..., Any], tuple[type[errors.AppError], ...]] = {
    caller.current_caller: (errors.Unauthenticated,),
    caller.flags: (errors.PermissionDenied,),
    idempotency.once_database: (errors.Conflict, errors.KeyReused),
    limits.within_limits: (errors.RateLimited,),
    model.request_model: (
        errors.PermissionDenied,
        errors.NotFound,
        errors.RateLimited,
        errors.ModelError,
        errors.ModelRejected,
        errors.ModelRateLimited,
        errors.ModelUnavailable,
    ),
}
"""Errors that a dependency raises. An endpoint's own errors stand at its route."""

OTHERWISE: dict[int | str, dict[str, Any]] = {
    "default": {"model": ErrorAnswer, "description": "Any other error, such as a crash."}
}
"""For the whole app; FastAPI's own guess, a 422, is left out where there is a `default`."""

BEARER = {"type": "http", "scheme": "bearer", "description": "An API key: `app keys create NAME`."}

MODELS = {
    "local": {"chat-model": "smollm2-135m-instruct", "embeddings-model": "wordllama-256"},
    "simulated": {"chat-model": "simulated-chat", "embeddings-model": "simulated-embeddings"},
}
"""Models to name in the examples, by provider, so that they can be sent as they are."""


def openapi(app: FastAPI, settings: Settings) -> bytes:
    """Return the description as JSON. It takes 0.1 s, so it is made once, before the start."""
    schema = app.openapi()
    schema.setdefault("components", {})["securitySchemes"] = {"key": BEARER}
    if settings.root_path:
        schema["servers"] = [{"url": settings.root_path}]
    models = _models(settings)
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                operation = schema["paths"][route.path_format][method.lower()]
                _complete(operation, route.dependant)
                _put_model(operation, models)
    return json.dumps(schema, ensure_ascii=False).encode()


def _complete(operation: dict[str, Any], dependant: Dependant) -> None:
    calls = set(_calls(dependant))
    kinds: set[type[errors.AppError]] = {
        *ANYWHERE,
        *(kind for call in calls for kind in RAISED.get(call, ())),
    }
    if dependant.path_params:
        kinds.add(errors.NotFound)
    if "requestBody" in operation:
        kinds.add(errors.TooLarge)
    if caller.current_caller in calls:
        operation["security"] = [{"key": []}]
    ordered = sorted(kinds, key=lambda kind: kind.__name__)
    known = {str(status): told for status, told in failures(*ordered).items()}
    responses = {**known, **operation["responses"]}
    for status, response in responses.items():
        if status >= "400":
            response.setdefault("content", responses["default"]["content"])
    operation["responses"] = dict(sorted(responses.items()))


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from _calls(each)


def _put_model(operation: dict[str, Any], models: dict[str, str]) -> None:
    body = operation.get("requestBody", {"content": {}})["content"].get("application/json", {})
    if (name := body.get("example", {}).get("model")) in models:
        body["example"]["model"] = models[name]


def _models(settings: Settings) -> dict[str, str]:
    chosen = {"chat-model": settings.default_model} if settings.default_model else {}
    return MODELS.get(settings.model_provider, {}) | chosen
