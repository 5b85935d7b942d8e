"""A finding: a rule, a line, and the call path of a request to this line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rule:
    """A trap to find. `why` and `instead` are sentences for the reader of a report."""

    id: str
    title: str
    why: str
    instead: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a line breaks."""

    rule: Rule
    path: Path
    line: int
    subject: str
    """The code of that line, such as `time.sleep()`."""

    routes: tuple[str, ...] = ()
    """The routes that come here."""

    chain: tuple[str, ...] = ()
    """The calls from the first route to here."""
