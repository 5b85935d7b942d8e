"""The revisions of the tables, as the files of both branches tell them.

They are read without Alembic, whose import takes longer than that of this whole service.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

PROJECT = Path(__file__).parents[2]
FOLDERS = (PROJECT / "migrations/versions", PROJECT / "engine/sql/migrations")

ASSIGNED = re.compile(r"^(revision|down_revision)\b[^=\n]*=\s*(\([^)]*\)|.*)$", re.MULTILINE)
NAMES = re.compile(r"""["'](.+?)["']""")


class Revisions(NamedTuple):
    """Every revision that the code knows, and the last ones: one for each branch."""

    known: frozenset[str]
    heads: frozenset[str]

    def newer_than(self, found: Iterable[str]) -> bool:
        """Return whether tables at the revisions `found` lack a step that the code knows.

        A branch whose revision is unknown here has gone on with newer code.
        """
        return len(self.heads - set(found)) > len(set(found) - self.known)


def read_revisions(folders: Iterable[Path] = FOLDERS) -> Revisions:
    """Return the revisions of all files in these folders."""
    names: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for folder in folders:
        for path in folder.glob("*.py"):
            for kind, value in ASSIGNED.findall(path.read_text()):
                names[kind].update(NAMES.findall(value))
    return Revisions(
        frozenset(names["revision"]), frozenset(names["revision"] - names["down_revision"])
    )


OWN = read_revisions()
