"""Names mean one thing, functions say what they do, and modules are whole things."""

import ast
from collections import defaultdict
from pathlib import Path

from tests.conftest import REPOSITORY

TEMPLATE = REPOSITORY / "template"
PACKAGES = ("app", "engine", "doctor")
HOMONYMS, ONE_WORD = 0.05, 0.25
FRAGMENT_LINES = 60
FRAGMENTS = 26
"""Modules shorter than that with one importer or none."""

Trees = dict[str, ast.Module]


def trees(folder: Path) -> Trees:
    """Return each module of the packages, by its dotted name."""
    paths = [path for package in PACKAGES for path in (folder / package).rglob("*.py")]
    return {
        ".".join(path.relative_to(folder).with_suffix("").parts): ast.parse(path.read_text())
        for path in paths
        if path.parent.name != "migrations"
    }


def public(tree: ast.Module, *kinds: type[ast.stmt]) -> list[str]:
    """Return the public names of these kinds that a module defines."""
    found = [node.name for node in tree.body if isinstance(node, kinds) and hasattr(node, "name")]
    return [name for name in found if not name.startswith("_")]


def homonyms(modules: Trees) -> float:
    """Return the share of public names that several modules define."""
    places = defaultdict[str, int](int)
    for tree in modules.values():
        for name in public(tree, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef):
            places[name] += 1
    return sum(count > 1 for count in places.values()) / len(places)


def one_word(modules: Trees) -> float:
    """Return the share of public functions whose name is one bare word."""
    found = [public(tree, ast.FunctionDef, ast.AsyncFunctionDef) for tree in modules.values()]
    names = [name for group in found for name in group]
    return sum("_" not in name for name in names) / len(names)


def fragments(modules: Trees) -> list[str]:
    """Return short modules that one other module imports, or none."""
    importers = defaultdict[str, set[str]](set)
    for importer, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for name in (node.module, *(f"{node.module}.{each.name}" for each in node.names)):
                    importers[str(name)].add(importer)
    return sorted(
        name
        for name, tree in modules.items()
        if not name.endswith("__init__")
        and tree.body
        and (tree.body[-1].end_lineno or 0) < FRAGMENT_LINES
        and len(importers[name]) <= 1
    )


def test_a_name_means_one_thing() -> None:
    assert homonyms(trees(TEMPLATE)) <= HOMONYMS


def test_functions_say_what_they_do_without_their_modules_name() -> None:
    assert one_word(trees(TEMPLATE)) <= ONE_WORD


def test_modules_are_whole_things() -> None:
    found = fragments(trees(TEMPLATE))
    assert len(found) <= FRAGMENTS, found


def test_broken_twins_are_caught() -> None:
    modules = {
        "engine.a": ast.parse("def claim(): ...\ndef find_batch(): ..."),
        "engine.b": ast.parse("from engine.a import claim as other\ndef claim(): ..."),
    }
    assert homonyms(modules) == 0.5
    assert one_word(modules) == 2 / 3
    assert fragments(modules) == ["engine.a", "engine.b"]
