"""The moves of a team in its first weeks. None may fail a test that came with the project."""

import re
import shutil
import tomllib
from pathlib import Path

from tests.edits import replaced

ROUTES = '''"""Notes: a GET, a POST and a stream of the team's own."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from app.dependencies.resources import Shared

router = APIRouter()


class Note(BaseModel):
    """A note."""

    text: str


@router.get("/notes")
async def read_notes() -> list[Note]:
    """Return the public notes."""
    return [Note(text="Hello")]


@router.post("/notes", status_code=201)
async def write_note(note: Note) -> Note:
    """Return the note."""
    return note


@router.get("/words")
async def find_words(letter: str, shared: Shared) -> list[str]:
    """Return words of the index."""
    return shared.index.find(letter)


@router.get("/notes/stream")
async def stream_notes() -> StreamingResponse:
    """Return a stream without an end."""
    return StreamingResponse(_ticks(), media_type="text/event-stream")


async def _ticks() -> AsyncIterator[str]:
    while True:
        yield "data: tick\\n\\n"
        await asyncio.sleep(1)
'''
JOB = '''"""A job that counts letters."""

from pydantic import BaseModel

from engine.jobs.jobs import Job
from engine.jobs.runs import Run


class Letters(BaseModel):
    """A text."""

    text: str


class Count(BaseModel):
    """How many letters it has."""

    letters: int


async def count_letters(_run: Run, subject: Letters) -> Count:
    """Count."""
    return Count(letters=len(subject.text))


COUNT_LETTERS = Job("count_letters", Letters, count_letters)
'''
RESOURCE = '''"""A resource of process scope: words by their first letter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

WORDS = ("ant", "bee", "cat")


class Index:
    """Finds words."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def find(self, letter: str) -> list[str]:
        """Return the words that begin so."""
        return [word for word in self._words if word.startswith(letter)]


@asynccontextmanager
async def open_index() -> AsyncIterator[Index]:
    """Yield the index."""
    yield Index(WORDS)
'''
TEST_OF_THE_RESOURCE = '''"""The index."""

from tests.service import Service


def test_words_are_found(live: Service) -> None:
    with live.http() as client:
        assert client.get("/words?letter=b").json() == ["bee"]
'''
TABLE = '''"""Notes of the team's own."""

from sqlalchemy.orm import Mapped, mapped_column

from app.features.tables import Base


class NoteRow(Base):
    """A note."""

    __tablename__ = "notes"

    id: Mapped[str] = mapped_column(primary_key=True)
    text: Mapped[str]
'''
LISTS = '''"""Our features."""

from typing import Any

from app.features.letters import COUNT_LETTERS
from app.features.note_table import NoteRow
from app.features.tables import Base
from engine.agents.agent import Agent
from engine.jobs.jobs import Job
from engine.operations.operation import Operation

OPERATIONS: list[Operation[Any]] = []
JOBS: list[Job[Any]] = [COUNT_LETTERS]
AGENTS: list[Agent] = []
TABLES: list[type[Base]] = [NoteRow]
'''
ROUTERS = '''"""The endpoints of our features."""

from fastapi import APIRouter

from app.features.notes import endpoint as notes

ROUTERS: list[APIRouter] = [notes.router]
'''
OPENED = {
    "from app.settings import": "from app.resources.index import Index, open_index\n{}",
    "    settings: Settings\n\n\n@": "    settings: Settings\n    index: Index\n\n\n@",
    "        background = await": '        index = await opening.enter("index", open_index())\n{}',
    "            settings=settings,\n": "{}            index=index,\n",
}
"""What the composition root gets for it: an import, a field, a line and its argument."""

SETTING = '''
    notes_per_caller: int = 100
    """Notes that one caller may have."""
'''
LOCALS = {
    "engine/batches/items.py": ("held", "in_hand"),
    "engine/batches/lanes.py": ("sated", "satisfied"),
    "engine/jobs/runs.py": ("again", "once_more"),
}
"""Names of variables in a module, and others for them."""

IN_THE_FILE = {
    "log_level": "ERROR",
    "port": 1,
    "database_connections": 1,
    "requests_per_minute": 1,
    "max_batch_lines": 1,
    "max_body_bytes": 100,
    "request_timeout": 0.001,
    "lease_seconds": 600.0,
    "feature_flags": [],
    "worker_jobs": 1,
}
"""Ten settings with which hardly a test would pass."""

DEFAULTS = {
    "service_name": '"Foxes"',
    "port": "8080",
    "shutdown_grace": "20.0",
    "local_context": "1024",
    "keep_days": "7.0",
    "http_connect_timeout": "3.0",
    "cache_entries": "5_000",
    "background_tasks": "500",
    "webhooks_per_caller": "8",
    "batch_chunk": "24",
}
"""Ten settings, each with another default."""


def delete_what_is_not_needed(project: Path) -> None:
    """Delete the example, the guides, the laboratory and the benchmarks."""
    (project / "tests/features/test_triage.py").unlink()
    for folder in ("app/features/triage", "docs", "lab", "benchmarks"):
        shutil.rmtree(project / folder)
    (project / "app/features/__init__.py").write_text(LISTS)
    (project / "app/features/endpoints.py").write_text(ROUTERS)


def add_what_is_ours(project: Path) -> None:
    """Add routes, a job, a table and a setting; the migration comes by a command."""
    (project / "app/features/notes").mkdir()
    (project / "app/features/notes/__init__.py").write_text('"""Notes."""\n')
    (project / "app/features/notes/endpoint.py").write_text(ROUTES)
    (project / "app/features/letters.py").write_text(JOB)
    (project / "app/features/note_table.py").write_text(TABLE)
    (project / "app/resources/index.py").write_text(RESOURCE)
    root = project / "app/resources/lifespan.py"
    text = root.read_text()
    for old, new in OPENED.items():
        text = replaced(old, new.format(old))(text)
    root.write_text(text)
    settings = project / "app/settings.py"
    settings.write_text(settings.read_text() + SETTING)


def change_settings(project: Path) -> None:
    """Change ten settings in `settings.toml`, and the defaults of ten."""
    change_settings_file(project)
    for name, value in DEFAULTS.items():
        found = [
            path
            for path in (project / "engine/settings").glob("*.py")
            if re.search(rf"^    {name}: ", path.read_text(), re.MULTILINE)
        ]
        (module,) = found
        line = re.compile(rf"^(    {name}: \S+ = ).+$", re.MULTILINE)
        module.write_text(line.sub(rf"\g<1>{value}", module.read_text()))


def change_settings_file(project: Path, **more: object) -> None:
    """Change ten settings in `settings.toml`, and `more`."""
    committed, added = project / "settings.toml", {**IN_THE_FILE, **more}
    lines = [f"{name} = {_toml(value)}\n" for name, value in added.items()]
    committed.write_text(committed.read_text() + "".join(lines))
    assert set(added) <= set(tomllib.loads(committed.read_text()))


def rename_locals(project: Path) -> None:
    """Rename variables in modules of the machine."""
    for path, (old, new) in LOCALS.items():
        text = (project / path).read_text()
        assert re.search(rf"\b{old}\b", text), f"{path} has no {old}"
        (project / path).write_text(re.sub(rf"(?<![.\w`]){old}\b(?!`)", new, text))


def widen_lines(project: Path) -> None:
    """Let the formatter use longer lines."""
    config = project / "pyproject.toml"
    config.write_text(replaced("line-length = 100", "line-length = 120")(config.read_text()))


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
