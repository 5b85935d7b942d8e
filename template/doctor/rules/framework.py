"""EX5: traps of the framework itself."""

import ast
from collections.abc import Iterator
from dataclasses import replace

from starlette.background import BackgroundTask, BackgroundTasks
from starlette.middleware.base import BaseHTTPMiddleware

from doctor.calls import Call, Visit, Where
from doctor.case import Case, shown_node
from doctor.findings import Finding, Rule
from doctor.project import Function
from doctor.roots import calls_of_middleware
from doctor.routes import Route, middleware_of
from doctor.rules.loop import waits_for
from doctor.rules.weight import SECOND, is_trivial, pause, weight
from doctor.things import Thing

BACKGROUND = Rule(
    "EX501",
    "heavy work in `BackgroundTasks`",
    "it runs in the request's own task, holds the request's resources, and dies with the process",
    "a job in a queue, where a worker does it and can repeat it",
)
TRIVIAL = Rule(
    "EX502",
    "a dependency that goes to a thread for nothing",
    "it costs 100 µs and one of the framework's threads: with all taken, 866 ms instead of 3",
    "`async def`; for a class, an `async def` that returns one",
)
CONTEXT = Rule(
    "EX503",
    "a context variable set in a thread",
    "a `def` dependency runs in a copy of the context: the endpoint never sees the value",
    "`async def` for the dependency",
)
LONG_THREAD = Rule(
    "EX504",
    "a slow call in one of the framework's threads",
    "40 threads, unless set otherwise, serve all of `def`: at 20 s a call, 2 requests a second",
    "threads of its own: `@own_threads(4)`; or an async client in an `async def`",
)
PLAIN_STREAM = Rule(
    "EX505",
    "a stream from a plain generator",
    "each piece is a hop to a thread, and a client that leaves is noticed late or never",
    "an `async def` generator",
)
MIDDLEWARE = Rule(
    "EX506",
    "a `BaseHTTPMiddleware`",
    "it costs 89 µs and a task per request, hides a client that left, and cuts the context",
    "a class with `async def __call__(self, scope, receive, send)`",
)
HELD = Rule(
    "EX507",
    "a database connection held for a whole stream",
    "a dependency with `yield` ends after the last byte: a slow reader keeps the connection",
    '`Depends(…, scope="function")`, and plain data for the stream',
)

SESSIONS = (
    *("sqlalchemy.orm.Session", "sqlalchemy.ext.asyncio.AsyncSession", "sqlalchemy.Connection"),
    *("sqlalchemy.ext.asyncio.AsyncConnection", "sqlite3.Connection", "psycopg.Connection"),
)


def heavy_background(case: Case) -> Iterator[Finding]:
    """EX501: a background task that calls other servers, sleeps or computes."""
    for visit, call in case.calls_in(*case.visits):
        for task in call.node.args[:1] if _adds_task(call.thing) else ():
            function = case.names.function(case.thing(task, visit))
            if function is not None and (reason := weight(case, function)):
                yield case.at(
                    BACKGROUND, call.node, visit, f"{shown_node(task)}, which calls {reason}"
                )


def trivial_dependencies(case: Case) -> Iterator[Finding]:
    """EX502: a `def` dependency, or a class, that neither waits nor computes."""
    for visit in case.visits:
        own = {root.role for root, _ in visit.arrivals if root.function is visit.function}
        in_thread = visit.where is Where.THREAD and "dependency" in own
        if in_thread and is_trivial(case, visit.function):
            yield case.at(TRIVIAL, visit.function.node, visit, visit.function.name)


def lost_context(case: Case) -> Iterator[Finding]:
    """EX503: `variable.set()` in code that a `def` dependency runs."""
    for visit, call in case.calls_in(*_in_threads(case, {"dependency"})):
        if call.thing.name == "set" and call.thing.root.of("_contextvars.ContextVar"):
            yield case.at(CONTEXT, call.node, visit)


def long_handlers(case: Case) -> Iterator[Finding]:
    """EX504: a `def` endpoint or dependency, without threads of its own, that may take long."""
    for visit, call in case.calls_in(*_in_threads(case, {"handler", "dependency"}, shared=True)):
        if _is_slow(case, call, visit):
            yield case.at(LONG_THREAD, call.node, visit)


def plain_streams(case: Case) -> Iterator[Finding]:
    """EX505: a `def` generator as the body of an answer."""
    for visit in case.visits:
        handler = visit.is_root and "handler" in visit.roles
        if handler and visit.function.is_generator and not visit.function.is_async:
            yield case.at(PLAIN_STREAM, visit.function.node, visit, visit.function.name)
    for visit, call in case.calls_in(*case.visits):
        body = case.body(visit, call)
        if body is not None and not body.is_async:
            yield case.at(PLAIN_STREAM, call.node, visit, f"{shown_node(call.node)} of {body.name}")


def wrapped_middleware(case: Case) -> Iterator[Finding]:
    """EX506: the project's own `@app.middleware("http")` and subclasses of `BaseHTTPMiddleware`."""
    for middleware in middleware_of(case.app):
        kind = middleware.cls
        if isinstance(kind, type) and issubclass(kind, BaseHTTPMiddleware):
            for call in calls_of_middleware(middleware):
                if function := case.project.function(call):
                    yield case.in_module(MIDDLEWARE, function.node, function.module, function.name)


def held_connections(case: Case) -> Iterator[Finding]:
    """EX507: a session that a dependency yields, for a route that streams."""
    streaming = {route.label: route for route in case.routes if case.streams(route)}
    for visit in case.visits:
        route = next((streaming[r.label] for r, _ in visit.arrivals if r.label in streaming), None)
        if route is None or not _ends_last(case, route, visit.function):
            continue
        for node in visit.function.nodes:
            if isinstance(node, ast.With | ast.AsyncWith) and _holds_session(case, visit, node):
                yield case.at(HELD, node, visit, visit.function.name)


def _in_threads(case: Case, roles: set[str], *, shared: bool = False) -> Iterator[Visit]:
    """Yield the visits in threads from roots of these roles; `shared`: in the framework's only."""
    for visit in case.visits:
        kept = [
            (root, chain)
            for root, chain in visit.arrivals
            if root.role in roles and not (shared and root.own_threads)
        ]
        if visit.where is Where.THREAD and kept:
            yield replace(visit, arrivals=kept)


def _is_slow(case: Case, call: Call, visit: Visit) -> bool:
    """Say whether a call waits for a server, a model or the event loop, or sleeps for a second."""
    kind = waits_for(call)
    if kind == "sleep":
        seconds = pause(case, call, visit.function)
        return seconds is None or seconds >= SECOND
    return kind in {"http", "model"} or call.thing.is_one_of("anyio.from_thread.run")


def _adds_task(thing: Thing) -> bool:
    tasks = thing.name == "add_task" and issubclass(thing.root.type or object, BackgroundTasks)
    return tasks or thing.value is BackgroundTask


def _ends_last(case: Case, route: Route, function: Function) -> bool:
    """Say whether a function is a dependency of the route that ends after its last byte."""
    ends = (need.call for need in route.needs if need.scope == "request")
    return any(case.project.function(call) is function for call in ends)


def _holds_session(case: Case, visit: Visit, node: ast.With | ast.AsyncWith) -> bool:
    if not any(isinstance(inner, ast.Yield) for inner in ast.walk(node)):
        return False
    return any(case.thing(item.context_expr, visit).of(*SESSIONS) for item in node.items)
