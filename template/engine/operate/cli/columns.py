"""Tables that also a pipe can read: nothing is cut to the width of a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

import typer

from engine.watch.telemetry import ESCAPED


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
