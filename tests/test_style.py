"""The code that a project is rendered from stays small enough to be read in an evening."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "template"
MODULES = sorted(
    path
    for part in ("app", "engine", "doctor")
    for path in (TEMPLATE / part).rglob("*.py")
    if path.parent.name != "migrations"
)
MODULE_LINES = 300
FUNCTION_LINES = 40
LONG = {"open_resources"}
"""The composition root: one list of all that a process opens."""

MEDIAN_LINES = 10
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "base", "manager", "common", "misc"}

Check = Callable[[Path, ast.Module], Iterator[str]]


def long_modules(path: Path, tree: ast.Module) -> Iterator[str]:
    if tree.body and (tree.body[-1].end_lineno or 0) > MODULE_LINES:
        yield f"{path} has more than {MODULE_LINES} lines"


def long_functions(path: Path, tree: ast.Module) -> Iterator[str]:
    for function in functions(tree):
        if lines(function) > FUNCTION_LINES and function.name not in LONG:
            yield f"{path}:{function.lineno} {function.name} has {lines(function)} lines"


def undocumented(path: Path, tree: ast.Module) -> Iterator[str]:
    if tree.body and not ast.get_docstring(tree):
        yield f"{path} has no docstring"
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{path}:{node.lineno} {node.name} has no docstring"


def empty_names(path: Path, _tree: ast.Module) -> Iterator[str]:
    if EMPTY_NAMES & {path.stem, path.parent.name}:
        yield f"{path} says nothing by its name"


def functions(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


@pytest.mark.parametrize("check", [long_modules, long_functions, undocumented, empty_names])
def test_the_app_keeps_the_rule(check: Check) -> None:
    found = [problem for path in MODULES for problem in check(path, ast.parse(path.read_text()))]
    assert not found


def test_the_usual_function_fits_into_one_look() -> None:
    all_lines = [
        lines(function) for path in MODULES for function in functions(ast.parse(path.read_text()))
    ]
    assert median(all_lines) <= MEDIAN_LINES


@pytest.mark.parametrize(
    ("check", "path", "source"),
    [
        (long_modules, "app/one.py", "x = 1\n" * (MODULE_LINES + 1)),
        (long_functions, "app/one.py", "def f():\n" + "    x = 1\n" * FUNCTION_LINES),
        (undocumented, "app/one.py", "x = 1"),
        (undocumented, "app/one.py", '"""One."""\ndef f(): ...'),
        (empty_names, "app/utils.py", ""),
        (empty_names, "app/common/one.py", ""),
    ],
)
def test_a_broken_twin_is_caught(check: Check, path: str, source: str) -> None:
    assert list(check(Path(path), ast.parse(source)))
