"""Name bindings: the statements that give a function's names their values."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from doctor.project import (
    Function,
    FunctionNode,
    Module,
    own_nodes,
)

How = Literal["annotated", "assigned", "entered", "imported", "defined", "owner", "unknown"]


@dataclass(frozen=True, slots=True)
class Binding:
    """One way in which a name gets its value."""

    how: How
    node: ast.AST | None = None
    name: str = ""
    """For an import: the dotted name."""


Bindings = dict[str, list[Binding]]


def bindings_of(function: Function) -> Bindings:
    """Return how each local name of a function gets its value."""
    found: Bindings = defaultdict(list)
    for name, binding in [*_parameters(function), *_statements(function.nodes)]:
        found[name].append(binding)
    for node in function.nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                found.pop(name, None)
    return dict(found)


def imports_of(module: Module) -> Bindings:
    """Return the bindings of a module's own imports, also of imports for type checkers only."""
    found: Bindings = defaultdict(list)
    for node in own_nodes(module.tree):
        for name, binding in _imported(node):
            found[name].append(binding)
    return dict(found)


def _parameters(function: Function) -> Iterator[tuple[str, Binding]]:
    arguments = function.node.args
    for number, parameter in enumerate(function.parameters):
        if parameter.annotation is not None:
            yield parameter.arg, Binding("annotated", parameter.annotation)
        elif number == 0 and function.owner is not None:
            yield parameter.arg, Binding("owner")
        else:
            yield parameter.arg, Binding("unknown")
    for rest in (arguments.vararg, arguments.kwarg):
        if rest is not None:
            yield rest.arg, Binding("unknown")


def _statements(nodes: list[ast.AST]) -> Iterator[tuple[str, Binding]]:
    for node in nodes:
        match node:
            case ast.Assign():
                for target in node.targets:
                    yield from _targets(target, Binding("assigned", node.value))
            case ast.AnnAssign():
                yield from _targets(node.target, Binding("annotated", node.annotation))
            case ast.NamedExpr():
                yield from _targets(node.target, Binding("assigned", node.value))
            case ast.withitem(optional_vars=ast.expr() as target):
                yield from _targets(target, Binding("entered", node.context_expr))
            case ast.For() | ast.AsyncFor() | ast.comprehension():
                yield from _targets(node.target, Binding("unknown"))
            case ast.ExceptHandler(name=str() as name):
                yield name, Binding("unknown")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield node.name, Binding("defined", node)
            case _:
                yield from _imported(node)


def _targets(target: ast.expr, binding: Binding) -> Iterator[tuple[str, Binding]]:
    if isinstance(target, ast.Name):
        yield target.id, binding
    elif isinstance(target, ast.Tuple | ast.List):
        for part in target.elts:
            yield from _targets(part, Binding("unknown"))


def _imported(node: ast.AST) -> Iterator[tuple[str, Binding]]:
    if isinstance(node, ast.Import):
        for each in node.names:
            whole = each.name if each.asname else each.name.partition(".")[0]
            yield each.asname or whole, Binding("imported", node, whole)
    elif isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        for each in node.names:
            yield each.asname or each.name, Binding("imported", node, f"{module}:{each.name}")


def definition(function: Function, node: ast.AST | None) -> Function | None:
    """Return the function inside `function` (or its module) that a `def` makes."""
    if not isinstance(node, FunctionNode):
        return None
    return next((f for f in function.module.functions.values() if f.node is node), None)
