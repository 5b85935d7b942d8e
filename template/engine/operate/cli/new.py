"""`app new`: writes a feature, a job or a table of your own, each with its test."""

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

app = typer.Typer(help="Write a feature, a job or a table, with its test.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Of a-z, 0-9 and _, like letter_count.")]

FEATURES = Path("app/features")
TESTS = Path("tests/features")
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

TASK = '''"""$title: a function with a prompt and a typed result."""

from pydantic import BaseModel, Field, ValidationError

from engine.errors import ModelUnavailable
from engine.models.interface import Answer, ChatRequest, Message
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operation

PROMPT = "Answer with JSON: an answer in one sentence."


class ${kind}Request(BaseModel):
    """The request of a caller."""

    text: str = Field(min_length=1, max_length=4000)


class ${kind}(BaseModel):
    """The answer to a caller."""

    answer: str


async def $name(model: BoundModel, request: ${kind}Request) -> Answer:
    """Return a `$kind` as JSON. Raise `ModelUnavailable` when the model does not give one."""
    schema = $kind.model_json_schema()
    answer = await model.complete(
        ChatRequest(
            model=await model.default(),
            messages=[
                Message(role="system", content=PROMPT),
                Message(role="user", content=request.text),
            ],
            max_tokens=120,
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "$name", "schema": schema},
            },
        )
    )
    try:
        result = $kind.model_validate_json(answer.text)
    except ValidationError as error:
        raise ModelUnavailable("The model's answer is incomplete. Try again.") from error
    return Answer(result.model_dump_json().encode(), answer.usage)


$constant = Operation("/v1/$path", ${kind}Request, $name)
'''
ENDPOINT = '''"""POST /v1/$path."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel
from app.features.$name.task import $constant, $kind, ${kind}Request

router = APIRouter(prefix="/v1", tags=["features"])

${kind}Body = Annotated[${kind}Request, Depends(json_body(${kind}Request))]


@router.post(
    "/$path", openapi_extra=describe_body(${kind}Request), responses={200: {"model": $kind}}
)
async def answer_$name(request: ${kind}Body, model: CallersModel) -> Response:
    """Answer one request now. For many, send a batch of lines with the URL /v1/$path."""
    return await answer_whole(model, $constant, request)
'''
FEATURE_TEST = '''"""POST /v1/$path."""

from app.features.$name.task import $kind
from tests.service import Service


def test_${name}_answers_with_its_type(live: Service) -> None:
    with live.http(live.new_key()) as client:
        answer = client.post("/v1/$path", json={"text": "Hello"})
    assert answer.status_code == 200, answer.text
    assert $kind.model_validate_json(answer.content).answer
'''
JOB = '''"""A long job: $title."""

from pydantic import BaseModel, Field

from engine.jobs.jobs import Job
from engine.jobs.runs import Run
from engine.models.interface import ChatRequest, Message


class ${kind}Subject(BaseModel):
    """The subject of a job."""

    texts: list[str] = Field(min_length=1, max_length=1000)


class ${kind}Result(BaseModel):
    """The answers, one for each text."""

    answers: list[str]


async def $name(run: Run, subject: ${kind}Subject) -> ${kind}Result:
    """Ask the model about each text, going on where an earlier attempt has stopped."""
    answers: list[str] = (run.progress or {"answers": []})["answers"]
    for text in subject.texts[len(answers) :]:
        message = Message(role="user", content=text)
        request = ChatRequest(model=await run.model.default(), messages=[message], max_tokens=100)
        answers.append((await run.model.complete(request)).text)
        await run.report(answers=answers)
    return ${kind}Result(answers=answers)


${constant}_JOB = Job("$name", ${kind}Subject, $name)
'''
JOB_TEST = '''"""The job $name."""

from tests.service import Service, eventually


def test_${name}_answers_each_text(live: Service) -> None:
    with live.http(live.new_key()) as client:
        new = {"name": "$name", "subject": {"texts": ["One", "Two"]}}
        job = client.post("/v1/jobs", json=new).json()
        eventually(lambda: client.get(f"/v1/jobs/{job['id']}").status_code == 200)
        result = client.get(f"/v1/jobs/{job['id']}").json()["result"]
    assert len(result["answers"]) == 2
'''
TABLE = '''"""The table $name."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from app.features.tables import Base


class ${kind}Row(Base):
    """One row, of one caller."""

    __tablename__ = "$name"

    id: Mapped[int] = mapped_column(primary_key=True)
    caller_id: Mapped[str] = mapped_column(String(40), index=True)
    text: Mapped[str]
'''
TABLE_TEST = '''"""The table $name."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.features.$name.table import ${kind}Row
from tests.service import Service


def add(session: Session) -> None:
    session.add(${kind}Row(caller_id="caller_a", text="Hello"))


def texts(session: Session) -> list[str]:
    return list(session.scalars(select(${kind}Row.text).where(${kind}Row.caller_id == "caller_a")))


def test_a_row_of_${name}_is_kept(live: Service) -> None:
    live.in_database(add)
    assert live.in_database(texts) == ["Hello"]
'''


@app.callback()
def tidy(context: typer.Context) -> None:
    """Write a feature, a job or a table, with its test."""
    context.call_on_close(_sort_imports)


@app.command()
def feature(name: Name) -> None:
    """Write an endpoint that asks the model for a typed result, also for lines of batches."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "task.py", TASK, words)
    _write(FEATURES / name / "endpoint.py", ENDPOINT, words)
    _write(TESTS / f"test_{name}.py", FEATURE_TEST, words)
    operation, package = words["constant"], f"app.features.{name}"
    _enter("__init__.py", "OPERATIONS", f"from {package}.task import {operation}", operation)
    _enter("endpoints.py", "ROUTERS", f"from {package} import endpoint as {name}", f"{name}.router")
    if Path("routes.txt").exists():
        typer.echo("accept the new route: app doctor --write-routes")


@app.command()
def job(name: Name) -> None:
    """Write a long job, which goes on where an earlier attempt has stopped."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "job.py", JOB, words)
    _write(TESTS / f"test_{name}_job.py", JOB_TEST, words)
    constant = f"{words['constant']}_JOB"
    _enter("__init__.py", "JOBS", f"from app.features.{name}.job import {constant}", constant)


@app.command()
def table(name: Name) -> None:
    """Write a table and its migration; `app migrate` then makes it."""
    words = _words(name)
    _begin(name, words)
    _write(FEATURES / name / "table.py", TABLE, words)
    _write(TESTS / f"test_{name}_table.py", TABLE_TEST, words)
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
    """Make the feature's folder, which an endpoint, a job and a table may share."""
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
        typer.echo(f"Add to {path}: `{imported}`, and {entry} to {names}.")
        return
    inner = f"{found[2]}, {entry}" if found[2].strip() else entry
    text = text[: found.start()] + found[1] + inner + found[3] + text[found.end() :]
    end = last_import[-1].end()
    path.write_text(f"{text[:end]}\n{imported}{text[end:]}", encoding="utf-8")
    typer.echo(f"entered {entry} in {names} of {path}")
