"""A copy of this project with more modules in `app.domain`, for tests with jobs of their own."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.service import PROJECT

GUIDE = PROJECT / "docs" / "adding-a-job.md"
PARTS = ("app", "migrations", "pyproject.toml", "settings.toml")


def documented_job() -> str:
    """Return the module that the guide shows."""
    found = re.search(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def copy_with(folder: Path, modules: Mapping[str, str]) -> Path:
    """Copy the project into `folder`, with these modules in `app.domain`; return `folder`."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=ignored)
        elif source.exists():
            shutil.copy2(source, folder)
    for name, source_code in modules.items():
        (folder / "app" / "domain" / f"{name}.py").write_text(source_code)
    return folder
