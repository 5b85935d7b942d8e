"""The facts about an app that the rules read: routes, roots, names and calls."""

import ast
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Any

from starlette.applications import Starlette
from starlette.responses import Response, StreamingResponse

from doctor.calls import (
    Call,
    CallGraph,
    Visit,
    Where,
    visits,
)
from doctor.findings import Finding, Rule
from doctor.flow import spread
from doctor.names import Names
from doctor.project import Function, Module, Project
from doctor.roots import roots_of
from doctor.routes import Route, routes_of
from doctor.things import Thing


class Case:
    """An app with its routes, its source, and the call paths from the routes into the source."""

    def __init__(
        self,
        app: Starlette,
        project: Project,
        jobs: Iterable[Callable[..., Any]] = (),
        agents: Iterable[Any] = (),
    ) -> None:
        self.app = app
        self.project = project
        self.routes: list[Route] = list(routes_of(app))
        self.roots = list(roots_of(app, self.routes, jobs, agents, project))
        self.names = Names(project)
        self.calls = CallGraph(self.names)

    @cached_property
    def visits(self) -> list[Visit]:
        """Every function that runs, and how it is reached."""
        found = visits(self.roots, self.calls)
        spread(found, self.calls)
        return found

    def streams(self, route: Route) -> bool:
        """Say whether a route answers, or may answer, piece by piece."""
        return route.streams or route.label in self._streaming

    @cached_property
    def _streaming(self) -> set[str]:
        """The routes with code that makes a streaming response."""
        return {
            root.label
            for visit, call in self.calls_in(*self.visits)
            if _streams(call.thing.made) or self.body(visit, call)
            for root, _ in visit.arrivals
            if root.role == "handler"
        }

    def on_loop(self) -> Iterator[Visit]:
        """Yield the visits on the event loop."""
        return (visit for visit in self.visits if visit.where is Where.LOOP)

    def in_requests(self) -> Iterator[Visit]:
        """Yield the visits of requests, without functions that only jobs run."""
        return (visit for visit in self.visits if visit.in_request)

    def calls_in(self, *visits: Visit) -> Iterator[tuple[Visit, Call]]:
        """Yield the calls of the visited functions."""
        return ((visit, call) for visit in visits for call in self.calls.of(visit.function))

    def thing(self, node: ast.AST | None, visit: Visit) -> Thing:
        """Return the thing that an expression of a visited function stands for."""
        return self.calls.thing(node, visit.function)

    def generator(self, node: ast.expr, visit: Visit) -> Function | None:
        """Return the project's function that makes the generator of an expression."""
        if isinstance(node, ast.Name):
            bound = self.names.bindings(visit.function).get(node.id, [])
            made = (each.node for each in bound if each.how == "assigned")
            return next(
                (self.generator(each, visit) for each in made if isinstance(each, ast.Call)), None
            )
        if isinstance(node, ast.Call):
            function = self.names.function(self.thing(node.func, visit))
            return function if function is not None and function.is_generator else None
        return None

    def body(self, visit: Visit, call: Call) -> Function | None:
        """Return the generator that a call makes the body of an answer."""
        made = call.thing.made
        if made is None or not issubclass(made, Response) or not call.node.args:
            return None
        return self.generator(call.node.args[0], visit)

    def function(self, call: Call) -> Function | None:
        """Return the function of the project that is called."""
        return self.names.function(call.thing)

    def at(self, rule: Rule, node: ast.AST, visit: Visit, subject: str | None = None) -> Finding:
        """Return a finding at a node of a visited function."""
        root, chain = min(visit.arrivals, key=lambda arrival: len(arrival[1]))
        labels = dict.fromkeys([root.label, *(each.label for each, _ in visit.arrivals)])
        return Finding(
            rule=rule,
            path=visit.function.module.path,
            line=getattr(node, "lineno", visit.function.node.lineno),
            subject=subject or shown_node(node),
            routes=tuple(labels),
            chain=chain,
        )

    def in_module(self, rule: Rule, node: ast.AST, module: Module, subject: str = "") -> Finding:
        """Return a finding that concerns a module and no request."""
        return Finding(rule, module.path, getattr(node, "lineno", 1), subject or shown_node(node))


def shown_node(node: ast.AST) -> str:
    """Return an expression as one short line; of a call, its name."""
    if isinstance(node, ast.Call):
        return f"{shown_node(node.func)}()"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _streams(made: type | None) -> bool:
    """Say whether answers of this class go out piece by piece."""
    events = getattr(made, "media_type", None) == "text/event-stream"
    return events or issubclass(made or object, StreamingResponse)
