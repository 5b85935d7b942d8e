"""`app jobs`: batches and other jobs of all callers."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.operate.cli.columns import (
    one_line,
    print_json,
    show_columns,
    show_facts,
    show_table,
    to_minute,
)
from engine.operate.cli.database import with_database
from engine.operate.cli.project import project
from engine.operate.cli.settings import read_settings

if TYPE_CHECKING:
    from engine.batches.batches import BatchObject
    from engine.jobs.jobs import JobObject
    from engine.process.queue import Kind
    from engine.sql.database import Database
    from engine.views.details import BatchDetail, JobDetail
    from engine.views.overview import Entry

app = typer.Typer(help="List, show, retry and cancel batches and jobs.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID", help="As in `app jobs list`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command("list")
def show_list(
    *,
    status: Annotated[str | None, typer.Option(help="Only work in this state.")] = None,
    name: Annotated[str | None, typer.Option(help="A job's name, or a batch's endpoint.")] = None,
    caller: Annotated[str | None, typer.Option(help="Only work of this caller.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most this many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List batches and jobs of all callers, newest first."""
    from engine.views.overview import Wanted, list_entries

    wanted = Wanted(status, name, caller, limit)
    found = with_database(lambda database: database.read(list_entries, wanted))
    if as_json:
        print_json(found)
        return
    show_columns(
        ("ID", "NAME", "CALLER", "STATUS", "PROGRESS", "CREATED", "ERROR"), [*map(_row, found)]
    )


@app.command()
def show(subject_id: Id, *, as_json: AsJson = False) -> None:
    """Show all about a batch or a job: its items, its leases, its errors."""
    from engine.views import details
    from engine.views.details import BatchDetail

    detail = with_database(lambda database: database.read(details.show_details, subject_id))
    if as_json:
        print_json(detail)
    elif isinstance(detail, BatchDetail):
        _show_batch(detail)
    else:
        _show_job(detail)


@app.command()
def cancel(subject_id: Id) -> None:
    """End a batch or a job: at once where it waits, else as soon as its worker hears of it."""
    from engine.process.queue import Kind
    from engine.views import overview

    own = project.get()

    async def run(database: "Database") -> "BatchObject | JobObject":
        cancelled = await database.write(overview.cancel_subject, subject_id, own.jobs())
        await _wake(Kind.BATCHES if cancelled.object == "batch" else Kind.JOBS)
        return cancelled

    typer.echo(f"{subject_id} is {with_database(run).status}.")


@app.command()
def retry(subject_id: Id) -> None:
    """Queue a job again that did not succeed, or a batch's failed items as a new batch."""
    from engine.process.queue import Kind
    from engine.sql.statements import new_id
    from engine.views import overview

    settings, own = read_settings(), project.get()

    async def run(database: "Database") -> "BatchObject | JobObject":
        queued = await database.write(
            overview.retry_subject,
            subject_id,
            kinds=own.jobs(),
            operations=own.operations(),
            most_lanes=settings.batch_lanes,
            flags=settings.feature_flags,
            request_id=new_id("req"),
        )
        await _wake(Kind.BATCHES if queued.object == "batch" else Kind.JOBS)
        return queued

    queued = with_database(run)
    typer.echo(f"{queued.id} is {queued.status}.")


async def _wake(kind: "Kind") -> None:
    """Wake a worker, for which Redis has a moment; without it a worker finds the work by itself."""
    from engine.process.queue import open_queue

    async with open_queue(read_settings()) as queue:
        await queue.wake(kind)


def _row(entry: "Entry") -> tuple[str, ...]:
    return (
        entry.id,
        entry.name,
        entry.caller or "-",
        entry.status,
        _progress(entry.progress),
        to_minute(entry.created_at),
        one_line(entry.error),
    )


def _show_batch(detail: "BatchDetail") -> None:
    counts = detail.batch.request_counts
    facts = {
        **detail.batch.model_dump(exclude={"object", "request_counts", "errors"}),
        "caller": detail.caller,
        "request_id": detail.request_id,
        "progress": _progress(counts.model_dump()),
        "errors": "; ".join(error.message for error in detail.batch.errors.data)
        if detail.batch.errors
        else None,
    }
    show_facts(facts)
    for lane in detail.lanes:
        state = "free" if lane.silent is None else f"held, last sign {lane.silent:.0f} s ago"
        typer.echo(f"lane {lane.lane}: {state}")
    show_table("items", [state.model_dump() for state in detail.items])
    show_table("first failures", [item.model_dump() for item in detail.failures])


def _show_job(detail: "JobDetail") -> None:
    facts = detail.job.model_dump(exclude={"object", "error"}) | detail.model_dump(exclude={"job"})
    if detail.job.error:
        facts["error"] = f"{detail.job.error.code}: {detail.job.error.message}"
    show_facts(facts)


def _progress(progress: dict[str, Any] | None) -> str:
    """Return how far something is: `812/1000, 3 failed` for a batch, all that a job reports."""
    if not progress:
        return "-"
    if progress.keys() == {"total", "completed", "failed"}:
        done = progress["completed"] + progress["failed"]
        failed = f", {progress['failed']} failed" if progress["failed"] else ""
        return f"{done}/{progress['total']}{failed}"
    return ", ".join(f"{name}={value}" for name, value in progress.items())
