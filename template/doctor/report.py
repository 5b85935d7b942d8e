"""The report: a table and findings to read, or the same for programs, and the list to commit."""

import dataclasses
import json
from collections.abc import Iterator

from doctor.examination import Examination
from doctor.findings import Finding
from doctor.table import Row

HEADER = ("ROUTE AND DEPENDENCIES", "RUNS", "HOPS", "HOLDS", "LIMITS", "ZONE")


def as_text(examination: Examination, *, table: bool = True) -> str:
    """Return the table, if it is wanted, and the findings, for a reader."""
    rows = [*_table(examination.rows), ""] if table else []
    return "\n".join([*rows, *_findings(examination), _summary(examination.findings)])


def as_json(examination: Examination) -> str:
    """Return the same as JSON, for programs."""
    findings = [
        {
            "rule": finding.rule.id,
            "title": finding.rule.title,
            "path": examination.project.shown(finding.path),
            "line": finding.line,
            "subject": finding.subject,
            "routes": finding.routes,
            "chain": finding.chain,
            "why": finding.rule.why,
            "instead": finding.rule.instead,
        }
        for finding in examination.findings
    ]
    routes = [dataclasses.asdict(row) for row in examination.rows]
    return json.dumps({"routes": routes, "findings": findings}, indent=2)


def as_list(examination: Examination) -> str:
    """Return the table as it is committed: a change of one route changes its own lines only."""
    lines = ["# Written by `app doctor --write-routes`: where each route runs and what it holds."]
    for row in examination.rows:
        said = [row.runs, f"{row.hops} hops" if row.hops is not None and not row.depth else ""]
        said += [row.holds, row.limits, row.zone and f"zone {row.zone}"]
        lines.append(f"{'  ' * row.depth}{row.name}: {', '.join(filter(None, said))}")
    return "\n".join(lines) + "\n"


def _table(rows: list[Row]) -> Iterator[str]:
    cells = [HEADER, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        yield "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()


def _cells(row: Row) -> tuple[str, ...]:
    hops = "" if row.hops is None else str(row.hops)
    return (f"{'  ' * row.depth}{row.name}", row.runs, hops, row.holds, row.limits, row.zone)


def _findings(examination: Examination) -> Iterator[str]:
    for finding in examination.findings:
        place = f"{examination.project.shown(finding.path)}:{finding.line}"
        yield f"{place} {finding.rule.id} {finding.rule.title}: {finding.subject}"
        if finding.routes:
            more = len(finding.routes) - 1
            others = f" and {more} more" if more else ""
            yield f"    reached by  {finding.routes[0]}{others}: {' > '.join(finding.chain)}"
        yield f"    why         {finding.rule.why}"
        yield f"    instead     {finding.rule.instead}"
        yield ""


def _summary(found: list[Finding]) -> str:
    if not found:
        return "No findings."
    rules = len({finding.rule.id for finding in found})
    leave = "To keep a line as it is: `# doctor: ignore[ID] reason`."
    return f"{len(found)} findings of {rules} rules. {leave}"
