"""`app batch`: let batches wait, and go on."""

from typing import TYPE_CHECKING, Annotated

import typer

from engine.operate.cli.columns import to_minute
from engine.operate.cli.database import with_database
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.callers.fairness import CallerPause
    from engine.sql.database import Database

app = typer.Typer(help="Pause batches and let them go on.", no_args_is_help=True)

Caller = Annotated[str | None, typer.Option(help="Only this caller's batches.")]


@app.command()
def pause(caller: Caller = None) -> None:
    """Begin no more items of batches: items in flight end, jobs and webhooks go on."""
    from engine.callers import fairness as pauses

    async def run(database: "Database") -> "list[CallerPause]":
        await database.write(pauses.pause_caller, caller)
        return await database.read(pauses.list_pauses)

    show_pauses(with_database(run))


@app.command()
def resume(caller: Caller = None) -> None:
    """Let batches go on."""
    from engine.callers import fairness as pauses
    from engine.process.queue import Kind, open_queue

    async def run(database: "Database") -> "list[CallerPause]":
        await database.write(pauses.resume_caller, caller)
        async with open_queue(read_settings()) as queue:
            await queue.wake(Kind.BATCHES)
        return await database.read(pauses.list_pauses)

    show_pauses(with_database(run))


def show_pauses(pauses: "Sequence[CallerPause]") -> None:
    """Print each pause of batches with its caller and its start."""
    for pause in pauses:
        whose = "All batches" if pause.caller is None else f"The batches of {pause.caller}"
        typer.echo(f"{whose} are paused since {to_minute(pause.since)}.")
    if not pauses:
        typer.echo("No batch is paused.")
