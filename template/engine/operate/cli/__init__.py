"""The `app` command.

Commands import what they need when they run, so that `app --help` does not wait for a database
driver. They work from any folder, because all paths in the settings start at the project's root.
"""

import asyncio
import os
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import typer

from engine.operate.cli import (
    api,
    batch,
    jobs,
    keys,
    migrations,
    model,
    queue,
    settings,
    webhooks,
)
from engine.operate.dev import CannotStart
from engine.errors import AppError, OpenError

PROJECT = Path(__file__).parents[2]

EXTRAS = {"doctor": "doctor.command", "lab": "lab.command"}
"""Commands that a project may lack, and the module that each one comes with."""

app = typer.Typer(
    help="Run and look after this LLM API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(batch.app, name="batch")
app.add_typer(jobs.app, name="jobs")
app.add_typer(keys.app, name="keys")
app.add_typer(model.app, name="model")
app.add_typer(queue.app, name="queue")
app.add_typer(webhooks.app, name="webhooks")
app.command(name="api")(api.serve)
app.command(name="migrate")(migrations.migrate)
app.command(name="settings")(settings.show)


for name, module in EXTRAS.items():
    if find_spec(module.partition(".")[0]) and find_spec(module):
        app.command(name=name)(import_module(module).command)


def main() -> None:
    """Run one command line; what its writer can mend is told in a sentence, without traceback."""
    if (PROJECT / "pyproject.toml").exists():
        os.chdir(PROJECT)
    try:
        app()
    except (AppError, CannotStart, OpenError) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        sys.exit(1)


@app.command()
def dev() -> None:
    """Run everything for development: Redis, the database, the API and a worker."""
    from engine.operate.dev.supervisor import run_everything
    from engine.operate.dev.lock import hold

    values = settings.read_settings()
    if values.production:
        raise CannotStart("`app dev` is for development: APP_ENV is production here.")
    with hold(values.data_dir):
        migrations.migrate()
        run_everything(values)


@app.command()
def worker() -> None:
    """Run a worker that works off batches."""
    from app.worker import run

    asyncio.run(run(settings.read_settings()))
