"""The call graph: the functions that a function calls, and the ways from a route to them."""

import ast
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from doctor.names import Names
from doctor.project import Function
from doctor.things import NOTHING, Thing, is_definition

CONSUMERS = ("list", "tuple", "set", "sum", "next", "any", "all", "max", "min", "sorted", "dict")
ENTERING = ("__enter__", "__exit__", "__aenter__", "__aexit__")


class Where(StrEnum):
    """Where code runs."""

    LOOP = "loop"
    THREAD = "thread"
    ELSEWHERE = "elsewhere"
    """A plain function was handed on: to a thread, a process or a queue, or as a callback."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """A call site, and the thing that is called."""

    node: ast.Call
    thing: Thing
    awaited: bool


Step = tuple[Function, Where, Call | None]
"""A function that is run, where, and by which call."""


@dataclass(frozen=True, slots=True, eq=False)
class Root:
    """A function that the framework calls, and where it runs it."""

    label: str
    function: Function
    where: Where
    role: str
    """handler, dependency, middleware, error handler, task, job or tool"""

    data: frozenset[str] = frozenset()
    """The parameters that hold data of the client, or of a model."""

    given: frozenset[str] = frozenset()
    """The parameters that dependencies give, or the call of a tool."""

    own_threads: bool = False
    """Whether it runs in threads of its own rather than in the framework's."""


@dataclass(slots=True, eq=False)
class Visit:
    """A function as requests come to it."""

    function: Function
    where: Where
    arrivals: list[tuple[Root, tuple[str, ...]]] = field(default_factory=list)
    """From which roots, and by which calls."""

    data: set[str] = field(default_factory=set)
    given: set[str] = field(default_factory=set)

    @property
    def is_root(self) -> bool:
        """Whether the framework itself calls the function."""
        return any(root.function is self.function for root, _ in self.arrivals)

    @property
    def roles(self) -> set[str]:
        """The roles of the roots that lead here."""
        return {root.role for root, _ in self.arrivals}

    @property
    def in_request(self) -> bool:
        """Whether requests or calls of a model come here, and not only jobs."""
        return self.roles != {"job"}


class CallGraph:
    """The calls of a project's functions."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self._of: dict[Function, list[Call]] = {}
        self._onward: dict[tuple[Function, Where], list[Step]] = {}

    def of(self, function: Function) -> list[Call]:
        """Return the calls in a function's own code."""
        if function not in self._of:
            parents = function.module.parents
            self._of[function] = [
                Call(node, self.thing(node.func, function), isinstance(parents[node], ast.Await))
                for node in function.nodes
                if isinstance(node, ast.Call)
            ]
        return self._of[function]

    def thing(self, node: ast.AST | None, function: Function) -> Thing:
        """Return the thing that an expression of a function stands for."""
        return self.names.thing(node, function.module, function) or NOTHING

    def onward(self, function: Function, where: Where) -> list[Step]:
        """Return the functions of the project that this one brings to run, and where."""
        if (function, where) not in self._onward:
            steps = self._steps(function, where)
            self._onward[function, where] = [s for s in steps if not self.names.is_cached(s[0])]
        return self._onward[function, where]

    def _steps(self, function: Function, where: Where) -> Iterator[Step]:
        called = set()
        for call in self.of(function):
            called.add(call.node.func)
            for target in self.names.functions(call.thing):
                if self._runs_here(call, target, function):
                    yield target, where_of(target, where), call
        for node in function.nodes:
            if isinstance(node, ast.withitem):
                yield from self._entered(node, function, where)
            elif node not in called and (handed := self._mentioned(node, function)):
                yield handed, where_of(handed, where) if handed.is_async else Where.ELSEWHERE, None

    def _runs_here(self, call: Call, target: Function, function: Function) -> bool:
        if target.is_async or not target.is_generator:
            return True
        above = function.module.parents[call.node]
        if isinstance(above, ast.For | ast.comprehension):
            return True
        return (
            isinstance(above, ast.Call)
            and isinstance(above.func, ast.Name)
            and above.func.id in CONSUMERS
        )

    def _entered(self, item: ast.withitem, function: Function, where: Where) -> Iterator[Step]:
        manager = self.thing(item.context_expr, function)
        if isinstance(item.context_expr, ast.Call):
            made = self.names.function(self.thing(item.context_expr.func, function))
            if made is not None and made.is_generator and not made.is_async:
                yield made, where, None
        for name in ENTERING:
            method = getattr(manager.type, name, None)
            if method and (target := self.names.project.function(method)):
                yield target, where_of(target, where), None

    def _mentioned(self, node: ast.AST, function: Function) -> Function | None:
        """Return a function that is named and not called: it is handed to code that may run it."""
        if not isinstance(node, ast.Name | ast.Attribute) or not isinstance(node.ctx, ast.Load):
            return None
        thing = self.thing(node, function)
        is_function = thing.made is None and (not thing.known or is_definition(thing.value))
        return self.names.function(thing) if is_function else None


def where_of(target: Function, where: Where) -> Where:
    """Return where a function runs that is called from code which runs at `where`."""
    return Where.ELSEWHERE if where is Where.THREAD and target.is_async else where


def visits(roots: Iterable[Root], calls: CallGraph) -> list[Visit]:
    """Return every function that requests reach, with the shortest way from each root."""
    found: dict[tuple[Function, Where], Visit] = {}
    for root in roots:
        _walk(root, calls, found)
    for visit in found.values():
        for root, _ in visit.arrivals:
            if root.function is visit.function:
                visit.data |= root.data
                visit.given |= root.given
    return list(found.values())


def _walk(root: Root, calls: CallGraph, found: dict[tuple[Function, Where], Visit]) -> None:
    seen = {(root.function, root.where)}
    pending: deque[tuple[Function, Where, tuple[str, ...]]] = deque()
    pending.append((root.function, root.where, (root.function.name,)))
    while pending:
        function, where, chain = pending.popleft()
        visit = found.setdefault((function, where), Visit(function, where))
        visit.arrivals.append((root, chain))
        for target, place, _ in calls.onward(function, where):
            if (target, place) not in seen:
                seen.add((target, place))
                pending.append((target, place, (*chain, target.name)))
