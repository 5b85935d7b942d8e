"""Prose has nouns: a sentence names the thing it is about."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

NAMELESS = re.compile(
    r"\b(what|who|whom|whose|nobody|others|those|meanwhile|anew)\b", re.IGNORECASE
)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")
CODE = re.compile(r"```.*?```|`[^`]*`|https?://\S+", re.DOTALL)
PER_THOUSAND = 5
"""Other projects, measured the same way: starlette 0.4, stamina 0.6, arq 1.1, polar 2.2."""

TEMPLATE = REPOSITORY / "template"
PARTS = {
    "app": [TEMPLATE / "app"],
    "engine": [TEMPLATE / "engine"],
    "doctor": [TEMPLATE / "doctor"],
    "documents": [
        TEMPLATE / "docs",
        TEMPLATE / "README.md.jinja",
        REPOSITORY / "README.md",
        REPOSITORY / "CONTRIBUTING.md",
    ],
}


def prose_of(path: Path) -> str:
    """Return the docstrings and comments of a module, or a document without its code."""
    text = path.read_text()
    if path.suffix != ".py":
        return CODE.sub(" ", text)
    return CODE.sub(" ", "\n".join([*docstrings(text), *comments(text)]))


def docstrings(text: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def comments(text: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def files(places: list[Path]) -> list[Path]:
    found = (place.rglob("*") if place.is_dir() else [place] for place in places)
    return sorted(
        path
        for group in found
        for path in group
        if path.suffix in (".py", ".md", ".jinja") and path.is_file()
    )


def share(texts: list[str]) -> float:
    """Return the nameless nouns in a thousand words."""
    together = "\n".join(texts)
    return 1000 * len(NAMELESS.findall(together)) / len(WORD.findall(together))


@pytest.mark.parametrize("part", PARTS)
def test_sentences_name_what_they_are_about(part: str) -> None:
    texts = {path: prose_of(path) for path in files(PARTS[part])}
    worst = sorted(texts, key=lambda path: len(NAMELESS.findall(texts[path])), reverse=True)[:5]
    found = share(list(texts.values()))
    assert found <= PER_THOUSAND, f"{found:.1f} in a thousand words, most of them in {worst}"


def test_a_text_without_nouns_is_caught() -> None:
    assert share(["Who comes first gets what others left."]) > PER_THOUSAND
    assert share(["The first caller gets the slot that a worker has given back."]) == 0
