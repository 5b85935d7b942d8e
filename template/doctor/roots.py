"""Where code begins to run: endpoints, dependencies, middleware, error handlers, and jobs."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware

from doctor.calls import Root, Where
from doctor.project import Project, plain
from doctor.routes import (
    Route,
    middleware_of,
    name_of,
    on_loop,
    own_threads,
)


def roots_of(
    app: Starlette, routes: Iterable[Route], jobs: Iterable[Callable[..., Any]], project: Project
) -> Iterator[Root]:
    """Yield the project's own functions that the framework calls, and its jobs."""
    for route in routes:
        yield from _root(project, route.label, route.endpoint, "handler", route)
        for need in route.needs:
            yield from _root(project, route.label, need.call, "dependency", None)
    for middleware in middleware_of(app):
        for call in calls_of_middleware(middleware):
            yield from _root(project, f"middleware {name_of(call)}", call, "middleware", None)
    for handler in app.exception_handlers.values():
        label = f"error handler {name_of(handler)}"
        yield from _root(project, label, handler, "error handler", None)
    for job in jobs:
        yield from _root(project, f"job {name_of(job)}", job, "job", None)


def calls_of_middleware(middleware: Any) -> Iterator[Callable[..., Any]]:  # noqa: ANN401 -- has no precise type
    """Yield the callable of a middleware that runs for each request."""
    if not inspect.isclass(middleware.cls):
        return
    if issubclass(middleware.cls, BaseHTTPMiddleware):
        dispatch = middleware.kwargs.get("dispatch")
        yield dispatch or middleware.cls.dispatch
    elif call := inspect.getattr_static(middleware.cls, "__call__", None):
        yield call


def _root(
    project: Project, label: str, call: Callable[..., Any], role: str, route: Route | None
) -> Iterator[Root]:
    function = project.function(call)
    if function is not None:
        where = Where.LOOP if on_loop(plain(call)) else Where.THREAD
        data = route.data if route else frozenset()
        given = frozenset(route.suppliers) if route else frozenset()
        yield Root(label, function, where, role, data, given, own_threads(call) is not None)
