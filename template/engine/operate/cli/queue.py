"""`app queue`: waiting and running work, and the workers."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from engine.operate.cli.batch import show_pauses
from engine.operate.cli.columns import show_columns
from engine.operate.cli.database import with_database
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.sql.database import Database
    from engine.views.backlog import Backlog

app = typer.Typer(no_args_is_help=True)


@app.callback()
def queue() -> None:
    """See the work that waits and the workers."""


@app.command()
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    max_wait: Annotated[
        float | None, typer.Option(help="Exit with code 1 if work has waited for more seconds.")
    ] = None,
) -> None:
    """Show the depth of the queue, the age of its oldest work, leases and workers."""
    from engine.process.queue import open_queue
    from engine.views.backlog import backlog

    settings = read_settings()

    async def look(database: "Database") -> "tuple[Backlog, int | None]":
        async with open_queue(settings) as queue:
            return await database.read(backlog, settings.lease_seconds), await queue.calls()

    found, calls = with_database(look)
    if as_json:
        typer.echo(json.dumps({**found.model_dump(), "wake_up_calls": calls}, indent=2))
    else:
        _show(found, calls)
    if max_wait is not None and found.oldest > max_wait:
        typer.echo(f"Work has waited for {found.oldest:.0f} s.", err=True)
        raise typer.Exit(1)


def _show(found: "Backlog", calls: int | None) -> None:
    show_columns(
        ("WORK", "WAITING", "RUNNING", "OLDEST"),
        [
            (depth.work, str(depth.waiting), str(depth.running), _seconds(depth.oldest))
            for depth in found.depths
        ],
    )
    typer.echo()
    for each in found.approvals:
        wait = _seconds(each.oldest)
        typer.echo(f"Approvals that {each.agent} waits for: {each.waiting}, the oldest {wait}.")
    typer.echo(f"Lanes of batches: {found.lanes.held} held, {found.lanes.free} free.")
    show_pauses(found.pauses)
    typer.echo(f"Webhooks given up: {found.dead_webhooks}.")
    if found.snapshot is not None:
        typer.echo(f"Oldest snapshot of the database: {_seconds(found.snapshot)}.")
    unheard = "unknown, Redis is away" if calls is None else calls
    typer.echo(f"Wake-up calls not heard yet: {unheard}.")
    typer.echo()
    show_columns(
        ("LEASE", "WORK", "SUBJECT", "LEFT"),
        [
            (lease.id, lease.work or "-", lease.subject or "-", _seconds(lease.left))
            for lease in found.leases
        ],
    )
    typer.echo()
    show_columns(
        ("WORKER", "HOST", "PID", "RUNS FOR", "LAST SIGN"),
        [
            (worker.id, worker.host, str(worker.pid), _seconds(worker.age), _seconds(worker.silent))
            for worker in found.workers
        ],
    )
    if not found.workers:
        typer.echo("No worker runs: start one with `app worker`.", err=True)


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.0f} s"
