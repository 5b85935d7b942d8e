"""`app doctor`: where each route runs, the resources it holds, and the lines that hurt."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from doctor.examination import Examination

HERE = Path.cwd()
"""Where the command was typed, before it went to its project."""

ROUTES = Path(__file__).parents[1] / "routes.txt"


def command(
    *,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:APP]", help="Another FastAPI app, or a factory of one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    write_routes: Annotated[
        bool, typer.Option("--write-routes", help="Write the table to routes.txt.")
    ] = False,
    check_routes: Annotated[
        bool, typer.Option("--check-routes", help="Fail if routes.txt differs.")
    ] = False,
) -> None:
    """Show where each route runs and the resources it holds; exit with code 1 on findings."""
    from doctor import report

    if name and (write_routes or check_routes):
        raise typer.BadParameter("routes.txt is about this project's own app: leave the name out.")
    examination = examine_other(name) if name else examine_own()
    if as_json:
        typer.echo(report.as_json(examination))
    else:
        typer.echo(report.as_text(examination, table=not (write_routes or check_routes)))
    if write_routes:
        ROUTES.write_text(report.as_list(examination), encoding="utf-8")
    changes = (
        drift_of_routes(report.as_list(examination)) if check_routes and not write_routes else ""
    )
    if changes:
        typer.echo(f"{changes}\nThe routes have changed: `app doctor --write-routes` accepts it.")
    if changes or examination.findings:
        raise typer.Exit(1)


def examine_own() -> "Examination":
    """Return the examination of this app, its jobs and its agents. Nothing is started."""
    import app
    import engine
    from app.main import create_app
    from app.resources.lifespan import all_agents, all_jobs
    from app.settings import Settings
    from doctor.examination import examine
    from engine.worker import process

    work: list[Callable[..., Any]] = [
        process.work_until_stopped,
        *(job.run for job in all_jobs().values()),
    ]
    folders = map(Path, [*app.__path__, *engine.__path__])
    return examine(create_app(Settings()), *folders, jobs=work, agents=all_agents().values())


def examine_other(name: str) -> "Examination":
    """Return the examination of another app, found from the folder of the command."""
    from doctor.examination import NotAnAppError, examine, find_app

    os.chdir(HERE)
    try:
        found, folder = find_app(name)
    except NotAnAppError as error:
        raise typer.BadParameter(str(error)) from error
    return examine(found, folder)


def drift_of_routes(now: str) -> str:
    """Return the diff from the committed table to this one, empty where they agree."""
    committed = ROUTES.read_text(encoding="utf-8") if ROUTES.exists() else ""
    lines = (committed.splitlines(), now.splitlines())
    return "\n".join(difflib.unified_diff(*lines, "routes.txt", "now", n=0, lineterm=""))


if __name__ == "__main__":
    typer.run(command)
