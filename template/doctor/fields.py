"""The attributes of the project's objects and of every `app.state`, with their bindings."""

import ast
import functools
import inspect
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from doctor.bindings import Binding
from doctor.project import Function, Module, Project


class Placed(NamedTuple):
    """A binding, and the module and function in which it stands."""

    binding: Binding
    module: Module
    function: Function | None


Found = dict[str, list[Placed]]


class Fields:
    """The attributes that classes annotate, and the attributes that methods assign to `self`."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._of: dict[type, Found] = {}

    def of(self, kind: type) -> Found:
        """Return how the attributes of a class of the project get their values."""
        if kind not in self._of:
            found: Found = defaultdict(list)
            for each in inspect.getmro(kind):
                for name, placed in self._declared(each):
                    found[name].append(placed)
            self._of[kind] = found
        return self._of[kind]

    @functools.cached_property
    def state(self) -> Found:
        """How the attributes of any `…state` get their values."""
        found: Found = defaultdict(list)
        for module in self._project.modules():
            for function in module.functions.values():
                for node in function.nodes:
                    for target, binding in _assigned(node):
                        owner = target.value
                        if isinstance(owner, ast.Attribute) and owner.attr == "state":
                            found[target.attr].append(Placed(binding, module, function))
        return found

    def owner(self, function: Function) -> type | None:
        """Return the class that a method belongs to, where this process can name it."""
        return self._class(function.module, function.name.rpartition(".")[0])

    def _class(self, module: Module, name: str) -> type | None:
        value: object = module.loaded
        for part in name.split("."):
            value = inspect.getattr_static(value, part, None)
        return value if inspect.isclass(value) else None

    def _declared(self, kind: type) -> Iterator[tuple[str, Placed]]:
        module = self._module_of(kind)
        if module is None:
            return
        for node in module.parents:
            if isinstance(node, ast.ClassDef) and node.name == kind.__name__:
                for name, binding in _annotated(node):
                    yield name, Placed(binding, module, None)
        for function in module.functions.values():
            if function.owner is None or function.name.rpartition(".")[0] != kind.__qualname__:
                continue
            for target, binding in (each for node in function.nodes for each in _assigned(node)):
                if isinstance(target.value, ast.Name) and target.value.id == "self":
                    yield target.attr, Placed(binding, module, function)

    def _module_of(self, kind: type) -> Module | None:
        try:
            return self._project.module(inspect.getfile(kind))
        except (TypeError, OSError):
            return None


def _assigned(node: ast.AST) -> list[tuple[ast.Attribute, Binding]]:
    if isinstance(node, ast.Assign):
        return [
            (target, Binding("assigned", node.value))
            for target in node.targets
            if isinstance(target, ast.Attribute)
        ]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Attribute):
        return [(node.target, Binding("annotated", node.annotation))]
    return []


def _annotated(node: ast.ClassDef) -> Iterator[tuple[str, Binding]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, Binding("annotated", statement.annotation)
