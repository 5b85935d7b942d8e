"""EX4: one request that asks for too much at once."""

import ast
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from doctor.calls import Visit
from doctor.case import Case, shown_node
from doctor.findings import Finding, Rule
from doctor.flow import holding, is_from
from doctor.project import own_nodes
from doctor.rules.weight import is_heavy, weight

UNBOUNDED = Rule(
    "EX401",
    "as many calls at once as a client likes",
    "one request takes every connection and slot that the process has, and all other requests wait",
    "a bound: a semaphore around the call, or a window of tasks; and `max_length` for the input",
)
BATCH = Rule(
    "EX402",
    "a batch worked off inside a request",
    "the time grows with the input past every timeout, and a lost connection loses all of it",
    "a job: answer 202 with a link to the progress, and let a worker do the items",
)

STARTING = {"create_task", "start_soon"}
BOUNDS = ("asyncio.Semaphore", "anyio.Semaphore", "anyio.CapacityLimiter")


def unbounded(case: Case) -> Iterator[Finding]:
    """EX401: `gather(*…)`, or a task for each item, over data that the client sent."""
    for visit in _requests(case):
        held = holding(visit.function, visit.data)
        for _, call in case.calls_in(visit):
            many = [each.value for each in call.node.args if isinstance(each, ast.Starred)]
            if call.thing.is_one_of("asyncio.gather") and any(
                _is_unbounded(case, visit, each, held) for each in many
            ):
                yield case.at(UNBOUNDED, call.node, visit)
        for loop in _loops(case, visit, held):
            for node in _started(loop):
                if not _bounds_itself(case, visit, node):
                    yield case.at(UNBOUNDED, node, visit)


def batches(case: Case) -> Iterator[Finding]:
    """EX402: `for item in body.items: await …`, where each round waits for another server.

    A tool may: no request waits for it.
    """
    for visit in _requests(case):
        if visit.roles <= {"job", "tool"}:
            continue
        for loop in _loops(case, visit, holding(visit.function, visit.data)):
            if work := _work(case, visit, loop):
                subject = f"for … in {shown_node(loop.iter)}, which waits for {work}"
                yield case.at(BATCH, loop, visit, subject)


def _requests(case: Case) -> Iterator[Visit]:
    return (visit for visit in case.on_loop() if visit.in_request)


def _started(loop: ast.For) -> Iterator[ast.Call]:
    for statement in loop.body:
        for node in own_nodes(statement):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in STARTING:
                yield node


def _loops(case: Case, visit: Visit, held: set[str]) -> Iterator[ast.For]:
    for node in visit.function.nodes:
        if isinstance(node, ast.For) and _is_unbounded(case, visit, node.iter, held):
            yield node


def _is_unbounded(case: Case, visit: Visit, node: ast.expr, held: set[str]) -> bool:
    """Say whether an expression is as long as the client likes."""
    if not is_from(node, held):
        return False
    if isinstance(node, ast.Name):
        made = [
            binding.node
            for binding in case.names.bindings(visit.function).get(node.id, [])
            if binding.how == "assigned" and isinstance(binding.node, ast.expr)
        ]
        if made:
            return any(_is_unbounded(case, visit, each, held - {node.id}) for each in made)
        return not _names_a_bound(visit, node.id)
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        if _bounds_itself(case, visit, node.elt):
            return False
        return _is_unbounded(case, visit, node.generators[0].iter, held)
    return not any(_field_is_bounded(case, visit, each) for each in ast.walk(node))


def _names_a_bound(visit: Visit, name: str) -> bool:
    """Say whether a parameter is declared with a length, or refused where it is too long."""
    annotations = [
        p.annotation for p in visit.function.parameters if p.arg == name and p.annotation
    ]
    if any("max_length" in ast.unparse(each) for each in annotations):
        return True
    return any(
        isinstance(node, ast.If)
        and isinstance(node.body[-1], ast.Raise)
        and f"len({name})" in ast.unparse(node.test)
        for node in visit.function.nodes
    )


def _field_is_bounded(case: Case, visit: Visit, node: ast.AST) -> bool:
    if not isinstance(node, ast.Attribute):
        return False
    kind = case.thing(node.value, visit).type
    if kind is None or not issubclass(kind, BaseModel) or node.attr not in kind.model_fields:
        return False
    field: Any = kind.model_fields[node.attr]
    return any(getattr(each, "max_length", None) is not None for each in field.metadata)


def _bounds_itself(case: Case, visit: Visit, node: ast.AST) -> bool:
    """Say whether the called function waits for a semaphore or limiter of its own."""
    names = (inner for inner in ast.walk(node) if isinstance(inner, ast.Name))
    functions = (case.names.function(case.thing(name, visit)) for name in names)
    return any(
        case.calls.thing(item.context_expr, function).of(*BOUNDS)
        for function in functions
        if function is not None
        for each in function.nodes
        if isinstance(each, ast.AsyncWith)
        for item in each.items
    )


def _work(case: Case, visit: Visit, loop: ast.For) -> str | None:
    """Return the call of each round that waits for another server or takes long."""
    inner = {each for statement in loop.body for each in own_nodes(statement)}
    for _, call in case.calls_in(visit):
        if call.awaited and call.node in inner:
            found = (weight(case, function) for function in case.names.functions(call.thing))
            if is_heavy(case, call, visit.function) or any(found):
                return shown_node(call.node)
    return None
