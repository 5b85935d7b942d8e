"""Lazy initialisation, and whether two requests can race for it or wait for it."""

import ast

from doctor.calls import Visit, Where
from doctor.case import Case
from doctor.known import CLIENTS, MODELS
from doctor.project import Function
from doctor.rules.loop import awaits
from doctor.rules.weight import weight


def is_lazy(node: ast.AST, target: ast.expr, visit: Visit) -> bool:
    """Say whether an assignment stands under an `if` that asks whether its target is there yet.

    The `if` may also ask a global name that the same function sets: `if not initialised:`.
    """
    names = {ast.unparse(target), *global_names(visit.function)}
    above = visit.function.module.parents[node]
    while above is not visit.function.node:
        if isinstance(above, ast.If) and _asks_for(above.test, names):
            return True
        above = visit.function.module.parents[above]
    return any(
        isinstance(each, ast.If)
        and each.lineno < getattr(node, "lineno", 0)
        and _asks_for(each.test, names)
        and isinstance(each.body[-1], ast.Return)
        for each in visit.function.nodes
    )


def global_names(function: Function) -> set[str]:
    """Return the names that a function declares global."""
    return {name for node in function.nodes if isinstance(node, ast.Global) for name in node.names}


def is_costly(case: Case, visit: Visit, node: ast.AST) -> bool:
    """Say whether another request can come between asking and making, or would have to wait."""
    if _is_locked(node, visit.function):
        return False
    if visit.where is not Where.LOOP:
        return True
    above = visit.function.module.parents[node]
    if isinstance(above, ast.If) and awaits(above):
        return True
    inner = set(ast.walk(node))
    made = [call for _, call in case.calls_in(visit) if call.node in inner]
    functions = [function for call in made for function in case.names.functions(call.thing)]
    return (
        awaits(node)
        or any(call.thing.is_one_of(*CLIENTS, *MODELS) for call in made)
        or any(weight(case, function) for function in functions)
    )


def _asks_for(test: ast.expr, names: set[str]) -> bool:
    match test:
        case ast.Compare(ops=[ast.Is() | ast.IsNot()], comparators=[ast.Constant(value=None)]):
            return ast.unparse(test.left) in names
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ast.unparse(operand) in names or _asks_for(operand, names)
        case ast.Call(func=ast.Name(id="hasattr"), args=[owner, ast.Constant(value=str() as name)]):
            return f"{ast.unparse(owner)}.{name}" in names
        case ast.BoolOp():
            return any(_asks_for(each, names) for each in test.values)
        case _:
            return False


def _is_locked(node: ast.AST, function: Function) -> bool:
    above = function.module.parents[node]
    while above is not function.node:
        if isinstance(above, ast.With | ast.AsyncWith):
            managers = " ".join(ast.unparse(item.context_expr) for item in above.items)
            if "lock" in managers.lower():
                return True
        above = function.module.parents[above]
    return False
