"""What the doctor says: a rule, a place, and how a request comes there."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that hurts. `why` and `instead` are sentences for the reader of a report."""

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
    """What stands there, such as `time.sleep()`."""

    routes: tuple[str, ...] = ()
    """The routes that come here."""

    chain: tuple[str, ...] = ()
    """The calls from the first of them to here."""
