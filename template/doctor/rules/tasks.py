"""EX2: coroutines without an `await`, tasks without a reference, a second event loop."""

import ast
import inspect
from collections.abc import Iterator

from doctor.calls import Call
from doctor.case import Case
from doctor.findings import Finding, Rule
from doctor.project import Function
from doctor.things import Thing

FORGOTTEN = Rule(
    "EX202",
    "a coroutine that is not awaited",
    "nothing of it is ever run",
    "`await` before the call",
)
UNREFERENCED = Rule(
    "EX203",
    "a task without a reference",
    "the loop holds tasks weakly: this one may vanish half-way, and its error is never seen",
    "`asyncio.TaskGroup`, or a set that keeps the task until it is done and logs its error",
)
SECOND_LOOP = Rule(
    "EX204",
    "a second event loop",
    "clients, locks and pools belong to the loop that made them, and fail or hang in this one",
    "`async def` all the way up, with the blocking call alone in a thread",
)

STARTERS = ("asyncio.create_task", "asyncio.ensure_future")
LOOPS = ("asyncio.run", "anyio.run", "asyncio.Runner", "uvloop.run")


def forgotten(case: Case) -> Iterator[Finding]:
    """EX202: the call of an `async def` as a statement of its own."""
    for visit, call in case.calls_in(*case.visits):
        above = visit.function.module.parents[call.node]
        if isinstance(above, ast.Expr) and _is_coroutine(case, call):
            yield case.at(FORGOTTEN, call.node, visit)


def unreferenced(case: Case) -> Iterator[Finding]:
    """EX203: `create_task` with a task that is dropped, or kept in a name that is never read."""
    for visit, call in case.calls_in(*case.visits):
        if _starts_task(call.thing) and _is_dropped(call, visit.function):
            yield case.at(UNREFERENCED, call.node, visit)


def second_loops(case: Case) -> Iterator[Finding]:
    """EX204: `asyncio.run` and its kind in code that a running loop leads to."""
    for visit, call in case.calls_in(*case.visits):
        thing = call.thing
        runs = thing.name == "run_until_complete" and thing.root.of("asyncio.AbstractEventLoop")
        if runs or thing.is_one_of(*LOOPS):
            yield case.at(SECOND_LOOP, call.node, visit)


def _is_coroutine(case: Case, call: Call) -> bool:
    function = case.function(call)
    if function is None:
        return inspect.iscoroutinefunction(call.thing.value)
    return function.is_async and not function.is_generator and not function.node.decorator_list


def _starts_task(thing: Thing) -> bool:
    if thing.is_one_of(*STARTERS):
        return True
    return thing.name == "create_task" and thing.root.of("asyncio.AbstractEventLoop")


def _is_dropped(call: Call, function: Function) -> bool:
    above = function.module.parents[call.node]
    if isinstance(above, ast.Expr):
        return True
    if not isinstance(above, ast.Assign) or not isinstance(above.targets[0], ast.Name):
        return False
    name = above.targets[0].id
    outer = (node for node in function.nodes if isinstance(node, ast.Global | ast.Nonlocal))
    if any(name in node.names for node in outer):
        return False
    names = (node for node in ast.walk(function.node) if isinstance(node, ast.Name))
    return not any(node.id == name and isinstance(node.ctx, ast.Load) for node in names)
