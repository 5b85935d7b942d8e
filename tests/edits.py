"""What users do to a project between two updates. None of it is near what a release changes."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

Edit: TypeAlias = Callable[[str], str]


def appended(more: str) -> Edit:
    """Return an edit that adds to the end of a file."""
    return lambda text: text + more


def replaced(old: str, new: str) -> Edit:
    """Return an edit of one place, which must be there."""

    def edit(text: str) -> str:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        return text.replace(old, new)

    return edit


EDITED = {
    ".gitignore": replaced(".venv/\n", "notes/\n.venv/\n"),
    "Makefile": appended("\nours:\n\t@echo ours\n"),
    "README.md": replaced("and updates improve it.\n", "and updates improve it. We like that.\n"),
    "app/features/triage/task.py": replaced("in at most ten words", "in at most eight words"),
    "app/main.py": replaced(
        "title=configured.service_name", "title=configured.service_name.title()"
    ),
    "pyproject.toml": replaced('    "msgspec', '    "lxml>=6,<7",\n    "msgspec'),
    "settings.toml": appended("port = 8080\n"),
}
ADDED = {
    ".env": "OPENAI_API_KEY=ours\n",  # ignored by git
    "app/features/invoices.py": '"""What we bill."""\n\nVAT_PERCENT = 19\n',
    "docs/ours.md": "# Ours\n",
}
DELETED = ["docs/adding-a-provider.md"]
RENAMED = {"docs/deploying.md": "docs/production.md"}


def edit(project: Path) -> None:
    """Do all of it."""
    for path, change in EDITED.items():
        (project / path).write_text(change((project / path).read_text()))
    for path, text in ADDED.items():
        (project / path).write_text(text)
    for path in DELETED:
        (project / path).unlink()
    for path, name in RENAMED.items():
        (project / path).rename(project / name)
