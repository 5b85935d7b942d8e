"""The `app` command on a database of a test, in the test's own process."""

import asyncio
import json
from typing import Any, ParamSpec, TypeVar

from typer.testing import CliRunner, Result

from app.cli import app
from app.settings import Settings
from engine.sql.database import Transaction, open_database

P = ParamSpec("P")
T = TypeVar("T")


def run(*arguments: str) -> Result:
    """Return what came of a command line; an error that it would tell in a sentence is raised."""
    result = CliRunner().invoke(app, arguments)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def told(*arguments: str) -> list[str]:
    """Return the lines that a command prints, each with single spaces."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return [" ".join(line.split()) for line in result.stdout.splitlines()]


def told_json(*arguments: str) -> Any:  # noqa: ANN401 -- any JSON
    """Return what a command prints with `--json`."""
    return json.loads(run(*arguments, "--json").stdout)


def in_database(fn: Transaction[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Return `fn(session, …)`, committed in the database that the command uses."""

    async def write() -> T:
        async with open_database(Settings(_env_file=None)) as database:
            return await database.write(fn, *args, **kwargs)

    return asyncio.run(write())
