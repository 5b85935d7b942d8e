"""The table: where each route and dependency runs, how long it holds resources, its limits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from doctor.calls import Visit
from doctor.case import Case
from doctor.roots import calls_of_middleware
from doctor.routes import (
    Need,
    Route,
    middleware_of,
    name_of,
    on_loop,
    own_threads,
)

HANDING_OVER = {"enqueue_job", "apply_async", "delay", "send_task", "enqueue", "kiq"}
"""How arq, Celery, RQ and taskiq take a job."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    depth: int
    runs: str
    hops: int | None
    holds: str
    limits: str
    zone: str


def rows(case: Case) -> Iterator[Row]:
    """Yield middleware from the outside in, each route with its dependencies, tools and jobs."""
    for middleware in middleware_of(case.app):
        for call in calls_of_middleware(middleware):
            yield Row(
                f"middleware {name_of(middleware.cls)}", 0, _runs(on_loop(call)), 0, "", "", "1"
            )
    for route in sorted(case.routes, key=lambda route: route.label.split(" ", 1)[::-1]):
        yield _route(case, route)
        for need in route.needs:
            yield _need(case, route, need)
    for root in sorted(case.roots, key=lambda root: root.label):
        if root.role in ("job", "tool"):
            yield Row(root.label, 0, str(root.where), None, "", "", "3")


def _route(case: Case, route: Route) -> Row:
    limits = [] if route.on_loop else [_threads(route.endpoint)]
    if route.body_limit is not None:
        limits.append(f"{route.body_limit} bytes of body")
    streams = "streams" if case.streams(route) else ""
    runs = _runs(route.on_loop)
    return Row(route.label, 0, runs, route.hops, streams, ", ".join(limits), _zone(case, route))


def _need(case: Case, route: Route, need: Need) -> Row:
    limits = [] if need.on_loop else [_threads(need.call)]
    if need.limit is not None:
        limits.append(f"{need.limit} at once")
    hops = None if need.on_loop else 1
    name = name_of(need.call)
    return Row(
        name,
        need.depth,
        _runs(need.on_loop),
        hops,
        _holds(case, route, need),
        ", ".join(limits),
        "",
    )


def _runs(on_the_loop: bool) -> str:  # noqa: FBT001 -- the one thing it says
    return "loop" if on_the_loop else "thread"


def _threads(call: Callable[..., Any]) -> str:
    own = own_threads(call)
    return "1 of the framework's threads" if own is None else f"{own} threads of its own"


def _holds(case: Case, route: Route, need: Need) -> str:
    """Say until when a dependency with an end holds its resource."""
    if need.scope is None:
        return ""
    if need.scope == "function":
        return "held until the endpoint returns"
    return "held until the last byte" if case.streams(route) else "held until the answer"


def _zone(case: Case, route: Route) -> str:
    """Return 1, with the zones that the route hands work to: 2 in this process, 3 in another."""
    visits = [v for v in case.visits if any(root.label == route.label for root, _ in v.arrivals)]
    zones = ["1"]
    if route.background or any(_is_background(visit) for visit in visits):
        zones.append("2")
    if any(_hands_over(case, visit) for visit in visits):
        zones.append("3")
    return "+".join(zones)


def _is_background(visit: Visit) -> bool:
    owner, path = visit.function.owner, visit.function.module.path
    spawns = owner is not None and owner.name == "Background"
    return spawns or "background" in (path.stem, path.parent.name)


def _hands_over(case: Case, visit: Visit) -> bool:
    return any(call.thing.name in HANDING_OVER for _, call in case.calls_in(visit))
