"""The effective routes of an app, with all that FastAPI runs for each.

`app.routes` does not list them: since FastAPI 0.165 an included router is one entry there, which
`iter_route_contexts` opens.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import StreamingResponse
from starlette.routing import BaseRoute, Mount

from doctor.project import plain


@dataclass(frozen=True, slots=True, eq=False)
class Need:
    """A dependency of a route."""

    call: Callable[..., Any]
    scope: str | None
    """`request`: it ends after the last byte; `function`: before the first; none: it has no end."""

    limit: int | None
    """How many requests may be in it at once."""

    depth: int

    @property
    def on_loop(self) -> bool:
        """Whether it runs on the event loop rather than in a thread."""
        return on_loop(self.call)


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """A path with its methods, and the functions that run for it."""

    label: str
    """Such as `GET /items/{id}`."""

    endpoint: Callable[..., Any]
    needs: tuple[Need, ...]
    data: frozenset[str]
    """The parameters of the endpoint that hold data of the client."""

    suppliers: Mapping[str, Callable[..., Any]]
    """The parameters that dependencies give, and the dependencies."""

    body_limit: int | None
    streams: bool
    background: bool
    """Whether it takes FastAPI's `BackgroundTasks`."""

    @property
    def on_loop(self) -> bool:
        """Whether the endpoint runs on the event loop rather than in a thread."""
        return on_loop(self.endpoint)

    @property
    def hops(self) -> int:
        """How often a request goes to a thread and back, before the first byte of its answer."""
        calls = [self.endpoint, *{id(need.call): need.call for need in self.needs}.values()]
        leaving = sum(2 if is_plain_generator(call) else 1 for call in calls if not on_loop(call))
        shares = not self.on_loop and own_threads(self.endpoint) is None
        return leaving + (1 if shares else 0)  # FastAPI serialises its answer in a thread too


def on_loop(call: Callable[..., Any]) -> bool:
    """Say whether FastAPI runs this on the loop: it decides by the kind of function alone."""
    function = plain(call)
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = plain(type(function).__call__)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def own_threads(call: Callable[..., Any]) -> int | None:
    """Return how many threads this has for itself, nothing where it shares the framework's.

    The decorator that hands a `def` on to such threads says so in an attribute `own_threads`.
    """
    while isinstance(call, functools.partial):
        call = call.func
    return getattr(call, "own_threads", None)


def is_plain_generator(call: Callable[..., Any]) -> bool:
    """Say whether FastAPI enters and leaves this in a thread."""
    return inspect.isgeneratorfunction(plain(call))


def routes_of(app: Starlette, prefix: str = "") -> Iterator[Route]:
    """Yield the routes of an app and of the apps mounted in it, without FastAPI's own pages."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, Mount):
            inner = route.app
            if isinstance(inner, Starlette):
                yield from routes_of(inner, f"{prefix}{route.path}")
        elif context.endpoint is not None and not _is_framework(context.endpoint):
            yield _route(context, route, prefix)


def middleware_of(app: Starlette) -> list[Middleware]:
    """Return the middleware of an app and of the apps mounted in it, outermost first."""
    mounted = [route.app for route in app.routes if isinstance(route, Mount)]
    inner = [each for sub in mounted if isinstance(sub, Starlette) for each in middleware_of(sub)]
    return [*app.user_middleware, *inner]


def name_of(call: Any) -> str:  # noqa: ANN401 -- whatever can be called
    """Return the dotted name of a callable, such as `app.api.chat.complete`."""
    function = plain(call)
    if not hasattr(function, "__qualname__"):
        function = type(function)
    return f"{function.__module__}.{function.__qualname__}".replace(".<locals>", "")


def _route(context: Any, route: BaseRoute, prefix: str) -> Route:  # noqa: ANN401 -- has no public type
    dependant: Dependant | None = getattr(context, "dependant", None)
    methods = "|".join(sorted(context.methods or {"WS"}))
    return Route(
        label=f"{methods} {prefix}{context.path}",
        endpoint=context.endpoint,
        needs=tuple(once_each(_needs(dependant, 1))) if dependant else (),
        data=frozenset(_data(dependant)) if dependant else frozenset(),
        suppliers=_suppliers(dependant) if dependant else {},
        body_limit=getattr(context, "max_body_size", None),
        streams=isinstance(route, APIRoute) and _streams(context),
        background=bool(dependant and dependant.background_tasks_param_name),
    )


def once_each(needs: Iterator[Need]) -> Iterator[Need]:
    """Yield each dependency once: FastAPI runs it for the first that asks, and keeps the result."""
    seen = set()
    for need in needs:
        if (id(need.call), need.scope) not in seen:
            seen.add((id(need.call), need.scope))
            yield need


def _needs(dependant: Dependant, depth: int) -> Iterator[Need]:
    for sub in dependant.dependencies:
        if sub.call is None:
            continue
        is_generator = is_plain_generator(sub.call) or inspect.isasyncgenfunction(plain(sub.call))
        scope = (sub.scope or "request") if is_generator else None
        limit = sub.concurrency.max_concurrency if sub.concurrency else None
        yield Need(sub.call, scope, limit, depth)
        yield from _needs(sub, depth + 1)


def _suppliers(dependant: Dependant) -> dict[str, Callable[..., Any]]:
    return {sub.name: sub.call for sub in dependant.dependencies if sub.name and sub.call}


def _data(dependant: Dependant) -> Iterator[str]:
    parts = (dependant.path_params, dependant.query_params, dependant.body_params)
    for field in [*(each for part in parts for each in part), *dependant.header_params]:
        yield field.name


def _streams(context: Any) -> bool:  # noqa: ANN401 -- has no public type
    """Say whether a route's declaration promises a stream."""
    kind = getattr(context.response_class, "value", context.response_class)
    endpoint = plain(context.endpoint)
    generates = inspect.isasyncgenfunction(endpoint) or inspect.isgeneratorfunction(endpoint)
    return generates or (inspect.isclass(kind) and issubclass(kind, StreamingResponse))


def _is_framework(endpoint: Callable[..., Any]) -> bool:
    module = getattr(plain(endpoint), "__module__", "") or ""
    return module.partition(".")[0] in {"fastapi", "starlette"}
