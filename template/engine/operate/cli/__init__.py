"""The `app` command.

Commands import their modules when they run, so that `app --help` does not wait for a database
driver. They work from any folder, because all paths in the settings start at the project's root.
"""

import asyncio
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import typer

from engine.errors import AppError, OpenError
from engine.operate.cli import (
    api,
    batch,
    jobs,
    keys,
    migrations,
    model,
    new,
    queue,
    responses,
    settings,
    webhooks,
)
from engine.operate.cli.project import AppParts, project
from engine.operate.dev import CannotStart

PROJECT = Path(__file__).parents[3]

OPTIONS = ("documents",)
"""Groups of commands that come with an option of the project."""

EXTRAS = {"doctor": "doctor.command", "lab": "lab.command"}
"""Commands that a project may lack, and the module that each one comes with."""


def commands(own: AppParts) -> typer.Typer:
    """Return all commands, for an app."""
    project.set(own)
    app = typer.Typer(
        help="Run and look after this LLM API.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for each in (batch, jobs, keys, model, new, queue, responses, webhooks):
        app.add_typer(each.app, name=each.__name__.rpartition(".")[-1])
    for name in OPTIONS:
        if find_spec(f"{__name__}.{name}"):
            app.add_typer(import_module(f"{__name__}.{name}").app, name=name)
    for name, command in COMMANDS.items():
        app.command(name=name)(command)
    for name, module in EXTRAS.items():
        if find_spec(module.partition(".")[0]) and find_spec(module):
            app.command(name=name)(import_module(module).command)
    return app


def run(app: typer.Typer) -> None:
    """Run one command line; a fault that its writer can mend is one sentence, no traceback."""
    if (PROJECT / "pyproject.toml").exists():
        os.chdir(PROJECT)
    try:
        app()
    except (AppError, CannotStart, OpenError) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        sys.exit(1)


def dev() -> None:
    """Run everything for development: Redis, the database, the API and a worker."""
    from engine.operate.dev.lock import hold_folder
    from engine.operate.dev.supervisor import run_everything

    values = settings.read_settings()
    if values.production:
        raise CannotStart("`app dev` is for development: APP_ENV is production here.")
    with hold_folder(values.data_dir):
        migrations.migrate_tables()
        run_everything(values)


def worker() -> None:
    """Run a worker that works off batches."""
    asyncio.run(project.get().worker()(settings.read_settings()))


COMMANDS = {
    "api": api.serve_api,
    "dev": dev,
    "migrate": migrations.migrate_tables,
    "settings": settings.show_settings,
    "worker": worker,
}
