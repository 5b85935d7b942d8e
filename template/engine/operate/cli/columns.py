"""Tables that also a pipe can read: nothing is cut to the width of a terminal."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from engine.watch.telemetry import ESCAPED

if TYPE_CHECKING:
    from pydantic import BaseModel


def show_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows below the header, each column as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        line = "  ".join(cells).rstrip()
        typer.secho(line.translate(ESCAPED), bold=row is header)


def to_minute(time: float | None) -> str:
    """Return a moment to the minute, in UTC, and "-" for none."""
    return "-" if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print each value but None beside its name; those that end with `_at` are moments."""
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            text = to_minute(value) if name.endswith("_at") else one_line(value)
            typer.echo(f"{name.ljust(width)}  {text}")


def show_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows below a title, and nothing where there are none."""
    if rows:
        typer.echo(f"\n{title}:")
        cells = [[one_line(value) for value in row.values()] for row in rows]
        show_columns([name.upper() for name in rows[0]], cells)


def one_line(value: object) -> str:
    """Return a value as one line; callers' text may have several."""
    text = json.dumps(value) if isinstance(value, dict) else str(value)
    return "-" if value is None else " ".join(text.split())


def print_json(value: "BaseModel | Sequence[BaseModel]") -> None:
    """Print JSON, for programs."""
    from pydantic_core import to_json

    typer.echo(to_json(value, indent=2).decode())
