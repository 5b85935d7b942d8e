"""The source of one project: its own modules, and the functions in them."""

import ast
import functools
import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
INNER = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
"""Nodes with code of their own, which does not run where it stands."""

OTHERS = {"site-packages", "dist-packages", ".venv", "venv"}


@dataclass(eq=False, slots=True)
class Module:
    """A source file: its syntax tree, and the values of its names in this process."""

    path: Path
    tree: ast.Module
    lines: list[str]
    loaded: ModuleType | None
    functions: dict[int, "Function"] = field(default_factory=dict)
    """By their first line, decorators included, as code objects count."""

    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, Any]:
        """The module's namespace since its import."""
        return vars(self.loaded) if self.loaded else {}


@dataclass(eq=False)
class Function:
    """One function of the project, and where it is defined."""

    node: FunctionNode
    module: Module
    name: str
    outer: "Function | None" = None
    owner: ast.ClassDef | None = None

    @property
    def is_async(self) -> bool:
        """Whether its body runs on an event loop."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @functools.cached_property
    def nodes(self) -> list[ast.AST]:
        """All of its own code, in order, without the functions and classes inside."""
        return list(own_nodes(self.node))

    @functools.cached_property
    def is_generator(self) -> bool:
        """Whether a call only makes a generator."""
        return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in self.nodes)

    @property
    def parameters(self) -> list[ast.arg]:
        """Its parameters but `*args` and `**kwargs`."""
        arguments = self.node.args
        return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]

    @property
    def defaults(self) -> list[tuple[ast.arg, ast.expr | None]]:
        """Its parameters with their defaults, nothing for a parameter without one."""
        arguments = self.node.args
        missing = [None] * (
            len(self.parameters) - len(arguments.kwonlyargs) - len(arguments.defaults)
        )
        values = [*missing, *arguments.defaults, *arguments.kw_defaults]
        return list(zip(self.parameters, values, strict=True))


class Project:
    """The modules below some folders, without packages that were installed there."""

    def __init__(self, *folders: Path) -> None:
        self.folders = list(dict.fromkeys([*folders, *(folder.resolve() for folder in folders)]))
        self._modules: dict[str, Module | None] = {}
        self._loaded: dict[str, ModuleType] = {}

    def modules(self) -> Iterator[Module]:
        """Yield the project's modules that this process has imported."""
        for loaded in list(sys.modules.values()):
            path = getattr(loaded, "__file__", None)
            if path and path.endswith(".py") and (module := self.module(path)):
                yield module

    def module(self, file: str) -> Module | None:
        """Return the module of a file, or nothing for a file that is not the project's."""
        if file not in self._modules:
            self._modules[file] = self._read(Path(file)) if self._is_own(file) else None
        return self._modules[file]

    def function(self, called: object) -> Function | None:
        """Return the source of a callable, or nothing where it is not the project's."""
        called = plain(called)
        if inspect.isclass(called):
            called = plain(inspect.getattr_static(called, "__init__", None))
        elif not hasattr(called, "__code__"):
            called = plain(inspect.getattr_static(type(called), "__call__", None))
        code = getattr(called, "__code__", None)
        module = self.module(code.co_filename) if code else None
        return module.functions.get(code.co_firstlineno) if module and code else None

    def shown(self, path: Path) -> str:
        """Return a path as the reader of a report knows it."""
        for folder in (Path.cwd(), *(folder.parent for folder in self.folders)):
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return str(path)

    def _is_own(self, file: str) -> bool:
        folders = [folder for folder in self.folders if file.startswith(str(folder))]
        return any(
            Path(file).is_relative_to(folder)
            and not OTHERS & {*Path(file).relative_to(folder).parts}
            for folder in folders
        )

    def _read(self, path: Path) -> Module:
        source = path.read_text(encoding="utf-8")
        module = Module(path, ast.parse(source), source.splitlines(), self._loaded_from(path))
        _index(module, module.tree, None, None, "")
        return module

    def _loaded_from(self, path: Path) -> ModuleType | None:
        if str(path) not in self._loaded:
            files = [(getattr(module, "__file__", None), module) for module in sys.modules.values()]
            self._loaded = {file: module for file, module in files if file}
        return self._loaded.get(str(path))


def plain(called: Any) -> Any:  # noqa: ANN401 -- whatever can be called
    """Return the function itself: without partials, bindings and decorators that name it."""
    while issubclass(type(called), functools.partial | staticmethod | classmethod):
        called = called.func if issubclass(type(called), functools.partial) else called.__func__
    try:
        return getattr(inspect.unwrap(called), "__func__", inspect.unwrap(called))
    except Exception:  # noqa: BLE001 -- a lazy proxy may be unable to make its object
        return None


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the code of a function's or a module's body, without the functions inside."""
    body = node.body if isinstance(node, FunctionNode | ast.Module) else [node]
    pending: list[ast.AST] = [*reversed(body)]
    while pending:
        current = pending.pop()
        yield current
        if not isinstance(current, INNER):
            pending.extend(reversed(list(ast.iter_child_nodes(current))))


def _index(
    module: Module, node: ast.AST, outer: Function | None, owner: ast.ClassDef | None, prefix: str
) -> None:
    for child in ast.iter_child_nodes(node):
        module.parents[child] = node
        if isinstance(child, FunctionNode):
            name = f"{prefix}{child.name}"
            function = Function(child, module, name, outer, owner)
            first = min([child.lineno, *(each.lineno for each in child.decorator_list)])
            module.functions[first] = function
            _index(module, child, function, None, f"{name}.")
        elif isinstance(child, ast.ClassDef):
            _index(module, child, outer, child, f"{prefix}{child.name}.")
        else:
            _index(module, child, outer, owner, prefix)
