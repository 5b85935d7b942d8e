"""EX2: cancellation of a request, because its client left or its time is over."""

import ast
from collections.abc import Iterator
from contextlib import suppress

from doctor.calls import Visit
from doctor.case import Case, shown_node
from doctor.findings import Finding, Rule
from doctor.flow import mentions
from doctor.project import Function, own_nodes
from doctor.rules.loop import awaits

SWALLOWED = Rule(
    "EX201",
    "a cancellation is swallowed",
    "the canceller waits on: timeouts do not end, streams run on without a client, shutdown hangs",
    "`raise` at the end of the handler, or catch `Exception`, which leaves cancellation alone",
)
UNSHIELDED = Rule(
    "EX205",
    "an unshielded await in the `finally` of a stream",
    "when the client leaves, Starlette cancels every await again: the clean-up never ends",
    "`with anyio.CancelScope(shield=True):` around it, or no await there",
)
ACROSS = Rule(
    "EX206",
    "a `yield` inside a timeout or task group",
    "the timeout also counts, and cancels, the consumer's work between two items",
    "the timeout around the awaits only, and the `yield` outside",
)

CANCELLED = ("asyncio.CancelledError", "builtins.BaseException")
SCOPES = (
    *("anyio.fail_after", "anyio.move_on_after", "anyio.CancelScope", "anyio.create_task_group"),
    *("asyncio.timeout", "asyncio.timeout_at", "asyncio.TaskGroup"),
)


def swallowed(case: Case) -> Iterator[Finding]:
    """EX201: an `except` around an await that catches cancellation and does not raise."""
    for visit in case.visits:
        if not visit.function.is_async or _cancels(visit.function):
            continue
        for node in visit.function.nodes:
            if isinstance(node, ast.Try) and any(awaits(each) for each in node.body):
                for handler in _swallowing(case, visit, node):
                    if not (_is_task(case, visit.function) and _leaves(handler, visit.function)):
                        yield case.at(SWALLOWED, handler, visit, _head(handler))
            for item in node.items if isinstance(node, ast.With) and awaits(node) else ():
                if _suppresses(case, visit, item.context_expr):
                    yield case.at(SWALLOWED, node, visit, f"with {shown_node(item.context_expr)}")


def unshielded(case: Case) -> Iterator[Finding]:
    """EX205: an await in the `finally` of a generator that is the body of an answer."""
    streamed = _streamed(case)
    for visit in case.visits:
        if visit.function not in streamed:
            continue
        for node in visit.function.nodes:
            for statement in node.finalbody if isinstance(node, ast.Try) else ():
                for inner in own_nodes(statement):
                    if isinstance(inner, ast.Await) and not _is_shielded(inner, visit, node):
                        yield case.at(UNSHIELDED, inner, visit)


def scopes_across_yields(case: Case) -> Iterator[Finding]:
    """EX206: `with timeout: yield` in a generator that is no context manager."""
    for visit in case.visits:
        dependency = visit.is_root and "dependency" in visit.roles
        if not visit.function.is_generator or dependency or _is_manager(visit.function):
            continue
        for node in visit.function.nodes:
            if isinstance(node, ast.With | ast.AsyncWith) and _yields(node):
                for item in node.items:
                    if _is_scope(case, visit, item.context_expr):
                        yield case.at(ACROSS, node, visit, f"with {shown_node(item.context_expr)}")


def _streamed(case: Case) -> set[Function]:
    """Return the generators that are the body of an answer."""
    made = (case.body(visit, call) for visit, call in case.calls_in(*case.visits))
    handlers = (root.function for root in case.roots if root.role == "handler")
    return {each for each in (*made, *handlers) if each is not None and each.is_generator}


def _swallowing(case: Case, visit: Visit, node: ast.Try) -> Iterator[ast.ExceptHandler]:
    for handler in node.handlers:
        if not _catches(case, visit, handler.type):
            continue
        nodes = [inner for statement in handler.body for inner in own_nodes(statement)]
        if not any(isinstance(inner, ast.Raise) for inner in nodes) and not _hands_on(
            handler, nodes
        ):
            yield handler
        return  # the handlers below see no cancellation any more


def _catches(case: Case, visit: Visit, caught: ast.expr | None) -> bool:
    if caught is None:
        return True
    if isinstance(caught, ast.Tuple):
        return any(_catches(case, visit, each) for each in caught.elts)
    if isinstance(caught, ast.Call):
        return shown_node(caught).endswith("get_cancelled_exc_class()")
    return case.thing(caught, visit).is_one_of(*CANCELLED)


def _hands_on(handler: ast.ExceptHandler, nodes: list[ast.AST]) -> bool:
    """Say whether the exception itself is stored or given to other code, which may raise it."""
    if handler.name is None:
        return False
    name = {handler.name}
    return any(
        mentions(node.value, name)
        if isinstance(node, ast.Assign | ast.Return)
        else isinstance(node, ast.Call) and not _is_log(node) and mentions(node, name)
        for node in nodes
    )


def _is_log(node: ast.Call) -> bool:
    return shown_node(node).startswith(("log.", "logger.", "logging.", "print(", "str("))


def _cancels(function: Function) -> bool:
    """Say whether a function cancels something: then it awaits the end of that, and may."""
    return any(isinstance(node, ast.Attribute) and node.attr == "cancel" for node in function.nodes)


def _is_task(case: Case, function: Function) -> bool:
    """Say whether a function is only ever the whole of a task, which ends with it."""
    calls = [
        visit.function.module.parents[call.node]
        for visit, call in case.calls_in(*case.visits)
        if case.function(call) is function
    ]
    starters = ("create_task()", "ensure_future()")
    return bool(calls) and all(
        isinstance(above, ast.Call) and shown_node(above).endswith(starters) for above in calls
    )


def _leaves(handler: ast.ExceptHandler, function: Function) -> bool:
    """Say whether nothing goes round again after a handler."""
    if isinstance(handler.body[-1], ast.Return | ast.Break):
        return True
    above = function.module.parents[handler]
    while above is not function.node:
        if isinstance(above, ast.For | ast.While | ast.AsyncFor):
            return False
        above = function.module.parents[above]
    return True


def _suppresses(case: Case, visit: Visit, node: ast.expr) -> bool:
    if not isinstance(node, ast.Call) or case.thing(node.func, visit).value is not suppress:
        return False
    return any(_catches(case, visit, argument) for argument in node.args)


def _is_shielded(node: ast.Await, visit: Visit, outermost: ast.AST) -> bool:
    called = shown_node(node.value)
    if called.endswith((".aclose()", "shield()")):
        return True
    parents = visit.function.module.parents
    above = parents[node]
    while above is not outermost:
        if isinstance(above, ast.With | ast.AsyncWith):
            managers = " ".join(ast.unparse(item.context_expr) for item in above.items)
            if "shield=True" in managers:
                return True
        above = parents[above]
    return False


def _is_manager(function: Function) -> bool:
    return any("contextmanager" in ast.unparse(each) for each in function.node.decorator_list)


def _yields(node: ast.With | ast.AsyncWith) -> bool:
    nodes = (inner for statement in node.body for inner in own_nodes(statement))
    return any(isinstance(inner, ast.Yield) for inner in nodes)


def _is_scope(case: Case, visit: Visit, node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and case.thing(node.func, visit).is_one_of(*SCOPES)


def _head(handler: ast.ExceptHandler) -> str:
    return f"except {shown_node(handler.type)}" if handler.type else "except"
