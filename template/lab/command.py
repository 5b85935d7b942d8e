"""`app lab`: the rules of the execution model, broken and kept, measured on this machine."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

from engine.operate.dev import CannotStart


def command(
    *,
    out: Annotated[Path, typer.Option(help="File for the report.")] = Path("lab.html"),
    only: Annotated[
        list[str] | None, typer.Option(help="One experiment by its name; give it again for more.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.5, help="Length of each load.")] = 2.0,
) -> None:
    """Break the execution model's rules and keep them, on this machine, and write a report."""
    from lab.experiments import EXPERIMENTS, run_all
    from lab.report import report

    names = only or list(EXPERIMENTS)
    if unknown := set(names) - set(EXPERIMENTS):
        known = ", ".join(EXPERIMENTS)
        raise CannotStart(f"There is no experiment {min(unknown)}. There are: {known}.")
    if out.is_dir() or not os.access(out if out.exists() else out.absolute().parent, os.W_OK):
        raise CannotStart(f"{out.absolute()} cannot be written: name another file with --out.")
    try:
        done = asyncio.run(run_all(names, seconds))
    except asyncio.CancelledError:
        raise typer.Exit(143) from None  # SIGTERM has ended the loop
    out.write_text(report(done), encoding="utf-8")
    typer.echo(f"\nThe report is in {out.absolute()}: open it in a browser.")
