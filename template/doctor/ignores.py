"""Suppression comments: `# doctor: ignore[EX100] reason` accepts a finding and says why."""

import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from doctor.findings import Finding, Rule
from doctor.project import Module

UNEXPLAINED = Rule(
    "EX001",
    "an ignore without a reason",
    "the next reader of the line cannot tell whether it still holds",
    "`# doctor: ignore[EX100] reason`",
)
UNUSED = Rule(
    "EX002",
    "an ignore of nothing",
    "the line has no such finding, and the next one would pass unseen",
    "the line without the comment",
)

COMMENT = re.compile(r"#\s*doctor:\s*ignore\[([\w, ]+)\]([^#]*)")


@dataclass(frozen=True, slots=True)
class Ignore:
    """One comment: on which line, of which rules, and why."""

    path: Path
    line: int
    rules: frozenset[str]
    reason: str


def judged(findings: Iterable[Finding], modules: Iterable[Module]) -> Iterator[Finding]:
    """Yield the findings that no comment ignores, then the ignores that are wrong themselves."""
    ignores = [ignore for module in modules for ignore in ignores_in(module)]
    used: set[tuple[Path, int, str]] = set()
    covered = {(each.path, each.line, rule) for each in ignores for rule in each.rules}
    for finding in findings:
        place = (finding.path, finding.line, finding.rule.id)
        if place in covered:
            used.add(place)
        else:
            yield finding
    for ignore in ignores:
        if not ignore.reason:
            yield Finding(UNEXPLAINED, ignore.path, ignore.line, ", ".join(sorted(ignore.rules)))
        for rule in sorted(ignore.rules):
            if (ignore.path, ignore.line, rule) not in used:
                yield Finding(UNUSED, ignore.path, ignore.line, rule)


def ignores_in(module: Module) -> Iterator[Ignore]:
    """Yield the ignores among a module's comments."""
    if not any("doctor:" in line for line in module.lines):
        return
    source = "\n".join(module.lines) + "\n"
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and (found := COMMENT.search(token.string)):
            rules = frozenset(rule.strip() for rule in found[1].split(","))
            yield Ignore(module.path, token.start[0], rules, found[2].strip())
