"""Modules of guides, features of the service of a test."""

import re
from pathlib import Path

from tests.service import PROJECT

GUIDE = PROJECT / "docs" / "adding-a-job.md"
AGENTS_GUIDE = PROJECT / "docs" / "agents.md"


def documented_job() -> str:
    """Return the module that the guide shows; an empty one where it has been deleted."""
    return f"{_longest_example(GUIDE)}\nJOB = SUMMARISE\n" if GUIDE.exists() else ""


def documented_agent() -> str:
    """Return the module of the agent that the guide shows; empty likewise."""
    if not AGENTS_GUIDE.exists():
        return ""
    return f"{_longest_example(AGENTS_GUIDE)}\nAGENT = REFUNDS_AGENT\n"


def _longest_example(guide: Path) -> str:
    examples = re.findall(r"^```python\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE)
    return str(max(examples, key=len))
