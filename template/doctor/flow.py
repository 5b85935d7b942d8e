"""Taint analysis: the names that hold data which a client sent, from call to call."""

import ast
from itertools import chain

from doctor.calls import Call, CallGraph, Visit
from doctor.project import Function

PASSING = {"list", "tuple", "set", "sorted", "enumerate", "zip", "reversed", "dict", "range", "len"}
"""Builtins with a result as large as their argument."""


PARTS: dict[type[ast.AST], tuple[str, ...]] = {
    ast.Attribute: ("value",),
    ast.Subscript: ("value",),
    ast.Starred: ("value",),
    ast.Await: ("value",),
    ast.BoolOp: ("values",),
    ast.BinOp: ("left", "right"),
    ast.IfExp: ("body", "orelse"),
    ast.Tuple: ("elts",),
    ast.List: ("elts",),
    ast.Set: ("elts",),
    ast.Dict: ("values",),
    ast.JoinedStr: ("values",),
    ast.FormattedValue: ("value",),
    ast.ListComp: ("generators",),
    ast.SetComp: ("generators",),
    ast.DictComp: ("generators",),
    ast.GeneratorExp: ("generators",),
    ast.comprehension: ("iter",),
}
"""The parts of an expression that its value is made of."""


def spread(visits: list[Visit], calls: CallGraph) -> None:
    """Mark in every visit the parameters that hold data of a request, from call to call."""
    found = {(visit.function, visit.where): visit for visit in visits}
    pending = list(visits)
    while pending:
        visit = pending.pop()
        data, given = holding(visit.function, visit.data), holding(visit.function, visit.given)
        for target, where, call in calls.onward(visit.function, visit.where):
            there = found.get((target, where))
            if call is not None and there is not None and _hand_on(call, there, data, given):
                pending.append(there)


def _hand_on(call: Call, there: Visit, data: set[str], given: set[str]) -> bool:
    before = len(there.data), len(there.given)
    for parameter, argument in arguments(call, there.function):
        if is_from(argument, data):
            there.data.add(parameter)
        if is_from(argument, given | data):
            there.given.add(parameter)
    return before != (len(there.data), len(there.given))


def arguments(call: Call, target: Function) -> list[tuple[str, ast.expr]]:
    """Return each parameter of the called function with the argument that it gets."""
    names = [parameter.arg for parameter in target.parameters]
    if target.owner is not None and names and not _is_static(target):
        names = names[1:]
    placed = zip(names, call.node.args, strict=False)
    return [*placed, *((word.arg, word.value) for word in call.node.keywords if word.arg)]


def _is_static(target: Function) -> bool:
    return any(
        isinstance(each, ast.Name) and each.id == "staticmethod"
        for each in target.node.decorator_list
    )


def holding(function: Function, names: set[str]) -> set[str]:
    """Return the local names that hold something out of the given parameters."""
    held = set(names)
    for _ in range(2):  # a name may be used above the line that fills it, in a loop
        for node in function.nodes if held else ():
            match node:
                case ast.Assign(targets=[*targets], value=value) if is_from(value, held):
                    held.update(name for target in targets for name in _names(target))
                case ast.AnnAssign(target=target, value=ast.expr() as value) if is_from(
                    value, held
                ):
                    held.update(_names(target))
                case ast.For() | ast.AsyncFor() | ast.comprehension() if is_from(node.iter, held):
                    held.update(_names(node.target))
    return held


def is_from(node: ast.AST, names: set[str]) -> bool:
    """Say whether an expression gives a part, or a view, of the value of one of the names."""
    match node:
        case ast.Name():
            return node.id in names
        case ast.Call(func=ast.Name(id=name)):
            return name in PASSING and any(is_from(each, names) for each in node.args)
        case ast.Call(func=ast.Attribute() as method):
            return is_from(method.value, names)
        case _:
            parts = (getattr(node, part) for part in PARTS.get(type(node), ()))
            lists = (part if isinstance(part, list) else [part] for part in parts)
            return any(is_from(each, names) for each in chain.from_iterable(lists) if each)


def mentions(node: ast.AST | None, names: set[str]) -> bool:
    """Say whether one of the names stands anywhere in an expression."""
    inner = ast.walk(node) if node is not None else ()
    return any(isinstance(each, ast.Name) and each.id in names for each in inner)


def _names(target: ast.expr) -> list[str]:
    return [node.id for node in ast.walk(target) if isinstance(node, ast.Name)]
