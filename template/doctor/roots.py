"""Where code begins to run: endpoints, dependencies, middleware, error handlers, jobs, tools."""

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
    app: Starlette,
    routes: Iterable[Route],
    jobs: Iterable[Callable[..., Any]],
    agents: Iterable[Any],
    project: Project,
) -> Iterator[Root]:
    """Yield the project's own functions that the framework calls, its jobs, and agents' tools."""
    for route in routes:
        given = frozenset(route.suppliers)
        yield from _root(project, route.label, route.endpoint, "handler", route.data, given)
        for need in route.needs:
            yield from _root(project, route.label, need.call, "dependency")
    for middleware in middleware_of(app):
        for call in calls_of_middleware(middleware):
            yield from _root(project, f"middleware {name_of(call)}", call, "middleware")
    for handler in app.exception_handlers.values():
        label = f"error handler {name_of(handler)}"
        yield from _root(project, label, handler, "error handler")
    for label, job in {f"job {name_of(job)}": job for job in jobs}.items():
        yield from _root(project, label, job, "job")
    for agent in agents:
        for name, tool in agent.toolbox.items():
            data = frozenset(tool.parameters.get("properties", ()))
            given = frozenset(inspect.signature(tool.run).parameters) - data
            yield from _root(project, f"agent {agent.name}: {name}", tool.run, "tool", data, given)


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
    project: Project,
    label: str,
    call: Callable[..., Any],
    role: str,
    data: frozenset[str] = frozenset(),
    given: frozenset[str] = frozenset(),
) -> Iterator[Root]:
    function = project.function(call)
    if function is not None:
        where = Where.LOOP if on_loop(plain(call)) else Where.THREAD
        yield Root(label, function, where, role, data, given, own_threads(call) is not None)
