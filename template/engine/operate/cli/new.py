"""`app new`: writes a feature, a job, an agent or a table of your own, each with its test."""

import os
import re
import subprocess
import sys
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from engine.errors import AppError
from engine.operate.cli import boilerplate

app = typer.Typer(help="Write a feature, a job, an agent or a table.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Of a-z, 0-9 and _, like letter_count.")]

FEATURES = Path("app/features")
TESTS = Path("tests/features")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@app.callback()
def tidy(context: typer.Context) -> None:
    """Write a feature, a job, an agent or a table, with its test."""
    context.call_on_close(_sort_imports)


@app.command()
def feature(name: Name) -> None:
    """Write an endpoint that asks the model for a typed result, also for lines of batches."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "task.py", boilerplate.TASK, words)
    _write(FEATURES / name / "endpoint.py", boilerplate.ENDPOINT, words)
    _write(TESTS / f"test_{name}.py", boilerplate.FEATURE_TEST, words)
    operation, package = words["constant"], f"app.features.{name}"
    _enter("__init__.py", "OPERATIONS", f"from {package}.task import {operation}", operation)
    _enter("endpoints.py", "ROUTERS", f"from {package} import endpoint as {name}", f"{name}.router")
    typer.echo("next: `make check`, which says how a new route is accepted")


@app.command()
def job(name: Name) -> None:
    """Write a long job, which goes on where an earlier attempt has stopped."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "job.py", boilerplate.JOB, words)
    _write(TESTS / f"test_{name}_job.py", boilerplate.JOB_TEST, words)
    constant = f"{words['constant']}_JOB"
    _enter("__init__.py", "JOBS", f"from app.features.{name}.job import {constant}", constant)


@app.command()
def agent(name: Name) -> None:
    """Write an agent with a tool; callers ask for it as a model."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "agent.py", boilerplate.AGENT, words)
    _write(TESTS / f"test_{name}_agent.py", boilerplate.AGENT_TEST, words)
    constant = f"{words['constant']}_AGENT"
    _enter("__init__.py", "AGENTS", f"from app.features.{name}.agent import {constant}", constant)


@app.command()
def table(name: Name) -> None:
    """Write a table and its migration; `app migrate` then makes it."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "table.py", boilerplate.TABLE, words)
    _write(TESTS / f"test_{name}_table.py", boilerplate.TABLE_TEST, words)
    row = f"{words['kind']}Row"
    _enter("__init__.py", "TABLES", f"from app.features.{name}.table import {row}", row)
    _write_migration(name)


def _words(name: str) -> dict[str, str]:
    if not NAME.fullmatch(name):
        raise AppError(f"{name} is no name: use a-z, 0-9 and _, like letter_count.")
    parts = name.split("_")
    return {
        "name": name,
        "kind": "".join(part.capitalize() for part in parts),
        "constant": name.upper(),
        "path": "-".join(parts),
        "title": " ".join(parts).capitalize(),
    }


def _begin(name: str, words: dict[str, str]) -> None:
    """Make the feature's folder, which an endpoint, a job, an agent and a table may share."""
    if not (FEATURES / name / "__init__.py").exists():
        _write(FEATURES / name / "__init__.py", '"""$title."""\n', words)


def _write(path: Path, text: str, words: dict[str, str]) -> None:
    if path.exists():
        raise AppError(f"{path} exists: choose another name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Template(text).substitute(words), encoding="utf-8")
    typer.echo(f"wrote {path}")


def _write_migration(name: str) -> None:
    """Compare the tables with those of an empty database that has all earlier migrations."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'scratch.db'}"
        for command in ("upgrade heads", f"revision --autogenerate -m {name}"):
            alembic = [sys.executable, "-m", "alembic", *command.split()]
            done = subprocess.run(  # noqa: S603
                alembic,
                env={**os.environ, "DATABASE_URL": url},
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise AppError(f"The migration could not be written: {done.stderr.strip()}")
    typer.echo(f"wrote a migration of {name} to migrations/versions: look through it")


def _sort_imports() -> None:
    """Let ruff do so, where it is installed."""
    for command in ("check --quiet --fix --select I", "format --quiet"):
        ruff = [
            sys.executable,
            "-m",
            "ruff",
            *command.split(),
            str(FEATURES),
            str(TESTS),
            "migrations",
        ]
        subprocess.run(ruff, check=False, stderr=subprocess.DEVNULL)  # noqa: S603


def _enter(module: str, names: str, imported: str, entry: str) -> None:
    """Enter it in a list of `app/features`; say what to type where the list looks different."""
    path = FEATURES / module
    text = path.read_text(encoding="utf-8")
    opening = re.compile(rf"^({names}\b[^\n]*= \[)(.*?)(,?\s*\])", re.MULTILINE | re.DOTALL)
    last_import = list(re.finditer(r"^(?:from|import) .*$", text, re.MULTILINE))
    found = opening.search(text)
    if not found or not last_import or "(" in last_import[-1][0]:
        listed = re.search(rf"^{names}\b", text, re.MULTILINE)
        line = f"{entry} to {names}" if listed else f"`{names} = [{entry}]`"
        typer.echo(f"Add to {path}: `{imported}`, and {line}.")
        return
    inner = f"{found[2]}, {entry}" if found[2].strip() else entry
    text = text[: found.start()] + found[1] + inner + found[3] + text[found.end() :]
    end = last_import[-1].end()
    path.write_text(f"{text[:end]}\n{imported}{text[end:]}", encoding="utf-8")
    typer.echo(f"entered {entry} in {names} of {path}")
