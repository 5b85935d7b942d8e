"""Resolves imports, annotations and displays to things."""

import ast
import importlib
import sys
from types import ModuleType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from doctor.project import Module
from doctor.things import UNKNOWN, Thing, is_definition


def imported(dotted: str, module: Module) -> Thing | None:
    """Return the object that an import gives, importing it where nothing has done so yet."""
    source, _, attribute = dotted.partition(":")
    package = module.names.get("__package__") or None
    try:
        found: ModuleType = sys.modules.get(source) or importlib.import_module(source, package)
    except Exception:  # noqa: BLE001 -- the import may run anything, and may not be installed
        return None
    return of_module(found, attribute) if attribute else Thing(value=found)


def of_annotation(value: Any) -> Thing | None:  # noqa: ANN401 -- whatever stands there
    """Return an object of the class that an annotation is at run time."""
    origin = get_origin(value)
    if origin is None:
        return Thing(kind=value) if issubclass(type(value), type) else None
    if origin in {Annotated, Union, UnionType}:
        return of_annotation(get_args(value)[0])
    return of_annotation(origin)


def of_module(module: ModuleType, name: str) -> Thing | None:
    """Return the attribute of a module."""
    try:
        value = getattr(module, name)
    except AttributeError:
        value = sys.modules.get(f"{module.__name__}.{name}", UNKNOWN)
    except Exception:  # noqa: BLE001 -- a module's `__getattr__` may do anything
        return None
    if value is UNKNOWN:
        return None
    return Thing(value=value, name=name, shared=not is_definition(value))


def display(node: ast.AST) -> Thing | None:
    """Return the value of a constant, or the class of a list, dictionary or set."""
    displays: dict[type[ast.AST], type] = {
        ast.List: list,
        ast.ListComp: list,
        ast.Dict: dict,
        ast.DictComp: dict,
        ast.Set: set,
        ast.SetComp: set,
        ast.JoinedStr: str,
    }
    if isinstance(node, ast.Constant):
        return Thing(value=node.value)
    kind = displays.get(type(node))
    return Thing(kind=kind) if kind else None
