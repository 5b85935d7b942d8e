"""Copies of this project, whose code a test may change."""

import shutil
from pathlib import Path

from tests.service import PROJECT


def copied(folder: Path) -> Path:
    """Return the folder, with all in it that runs: no `.env` of the real one is read there."""
    for part in ("app", "engine", "migrations"):
        shutil.copytree(PROJECT / part, folder / part)
    shutil.copy2(PROJECT / "pyproject.toml", folder)
    return folder
