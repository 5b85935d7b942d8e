"""Mutation: assignments, and calls and items that change a collection."""

import ast
from collections.abc import Iterator

from doctor.project import Function, Project

GROWING = {"append", "add", "insert", "extend", "update", "setdefault", "appendleft"}
SHRINKING = {"pop", "popitem", "popleft", "clear", "remove", "discard"}
CHANGING = GROWING | SHRINKING


def changed_targets(function: Function) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Yield each assignment of a function with each of its targets; `+=` is none of them."""
    for node in function.nodes:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                yield node, target
        elif isinstance(node, ast.AnnAssign):
            yield from [(node, node.target)] if node.value is not None else []
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            yield node, node.target


def changed_parts(function: Function, methods: set[str]) -> Iterator[tuple[ast.AST, ast.expr]]:
    """Yield the objects that a function changes by a method, or by an item under a variable key."""
    for node in function.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in methods:
                yield node, node.func.value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Constant):
                    yield node, target.value


def is_removed_from(project: Project, name: str) -> bool:
    """Say whether some code of the project empties or replaces the object of this name."""
    return any(_removes(node, name) for module in project.modules() for node in module.parents)


def _removes(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Attribute(attr=method, value=owner) if method in SHRINKING:
            return _is_named(owner, name)
        case ast.Delete():
            return any(
                isinstance(t, ast.Subscript) and _is_named(t.value, name) for t in node.targets
            )
        case ast.Global():
            return name in node.names
        case _:
            return False


def _is_named(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )
