"""CHANGELOG.md: its heading of what is not released yet becomes the heading of a version."""

import re
from datetime import date
from pathlib import Path

UNRELEASED = "## [Unreleased]\n"


def unreleased(text: str) -> str:
    """Return what stands below the heading `Unreleased`; empty where nothing does."""
    _, found, rest = text.partition(UNRELEASED)
    return re.split(r"^## |^\[", rest, maxsplit=1, flags=re.MULTILINE)[0].strip() if found else ""


def with_heading(text: str, version: str, today: date) -> str:
    """Return the text with the version's heading above what was unreleased."""
    return text.replace(UNRELEASED, f"{UNRELEASED}\n## [{version}] - {today.isoformat()}\n", 1)


def write_heading(file: Path, version: str, today: date) -> None:
    """Give the file the version's heading."""
    file.write_text(with_heading(file.read_text(), version, today))
