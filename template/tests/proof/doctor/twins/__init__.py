"""Twins: small modules with a bug that a guard must catch, and well-written ones to leave alone.

A broken twin says on the line of its bug who catches it: `# caught by doctor EX100, ruff ASYNC251`.
"""

import re
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent
BROKEN = sorted((FOLDER / "broken").glob("[!_]*.py"))
GOOD = sorted((FOLDER / "good").glob("[!_]*.py"))

MARK = re.compile(r"# caught by (.+)$")


class Catch(NamedTuple):
    """What a guard says: its name, its rule, and the line."""

    guard: str
    rule: str
    path: Path
    line: int


def expected(twin: Path) -> set[Catch]:
    """Return the catches that a broken twin announces in its comments."""
    found = set()
    for number, line in enumerate(twin.read_text().splitlines(), 1):
        if mark := MARK.search(line):
            for catch in mark[1].split(", "):
                guard, rule = catch.split()
                found.add(Catch(guard, rule, twin, number))
    return found
