"""Two branches of revisions in one database, and migrations beside processes that work."""

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text

from app.settings import Settings
from engine.sql.database import open_database
from engine.sql.revisions import FOLDERS, read_revisions
from tests.forked import Forked
from tests.isolation import own_folder
from tests.proof.copies import copied
from tests.proof.sql.before_1_0 import make_tables_of_0_3_0
from tests.service import LIMIT, PROJECT, eventually
from tests.tables import new_database

HEADS = ", ".join(sorted(read_revisions(FOLDERS[1:]).heads))
(ENGINE,) = (each for each in HEADS.split(", ") if each.startswith("engine_"))
NOTES = '''

class NoteRow(Base):
    """A note of a caller."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
'''
IMPORTS = "from sqlalchemy import ForeignKey\nfrom sqlalchemy.orm import Mapped, mapped_column\n"
ABC = """
import sqlalchemy as sa
from alembic import op

revision = "abc"
down_revision = "app_0001"


def upgrade() -> None:
    op.create_table("notes", sa.Column("caller_id", sa.String(40), sa.ForeignKey("callers.id")))
"""
NEWER = HEADS.replace(ENGINE, "engine_9999")
NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "engine_9999"
down_revision = "{ENGINE}"


def upgrade() -> None:
    op.add_column("callers", sa.Column("colour", sa.String(10)))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables."""
    if request.param == "postgresql":
        return asyncio.run(new_database(request.getfixturevalue("postgres_url")))
    own_folder(tmp_path)
    return f"sqlite:///{tmp_path / 'app.db'}"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the project, to change."""
    return copied(tmp_path / "copy")


@contextmanager
def locked(url: str) -> Iterator[Callable[[], object]]:
    """Write in a transaction that goes on until it is told to end."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.execute("BEGIN IMMEDIATE")
            yield file.rollback
        return
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute("BEGIN; UPDATE deliveries SET generation = 1"))
        yield lambda: runner.run(connection.execute("ROLLBACK"))
        runner.run(connection.close())


def execute(url: str, statement: str) -> None:
    async def run() -> None:
        async with open_database(Settings(_env_file=None, database_url=url)) as database:
            await database.write(lambda session: session.execute(text(statement)))

    asyncio.run(run())


def start(project: Path, url: str, log: Path, program: str, *arguments: str) -> Forked:
    return Forked(
        arguments, os.environ | {"DATABASE_URL": url}, log, project=project, program=program
    )


def run(project: Path, url: str, *command: str) -> tuple[int, str]:
    """Return how a command ends, and what it says."""
    with tempfile.NamedTemporaryFile("r") as output:
        code = start(project, url, Path(output.name), *command).wait(LIMIT)
        return code, output.read()


def migrate(project: Path, url: str) -> tuple[int, str]:
    return run(project, url, "app.cli", "migrate")


def add_table(project: Path) -> None:
    module = project / "app/features/tables.py"
    module.write_text(IMPORTS + module.read_text() + NOTES)


def test_a_revision_of_the_team_has_its_own_tables_alone(url: str, copy: Path) -> None:
    migrate(copy, url)
    add_table(copy)
    command = ["revision", "--autogenerate", "-m", "notes", "--rev-id", "abc"]
    code, said = run(copy, url, "alembic.config", *command)
    assert code == 0, said
    written = (copy / "migrations/versions/abc_notes.py").read_text()
    upgrade = written.split("def upgrade")[1].split("def downgrade")[0]
    assert "= 'app_0001'" in written
    assert upgrade.count("op.") - upgrade.count("op.f(") == 1
    assert "op.create_table('notes'" in upgrade
    assert migrate(copy, url) == (0, f"Database: from app_0001, {HEADS} to abc, {HEADS}.\n")
    assert run(copy, url, "alembic.config", "-x", "branch=engine", "check")[0] == 0


def test_a_step_of_the_engine_leaves_the_teams_branch_one_head(url: str, copy: Path) -> None:
    """The engine's steps come first: on PostgreSQL a foreign key needs its table."""
    add_table(copy)
    (copy / "migrations/versions/abc_notes.py").write_text(ABC)
    (copy / "engine/sql/migrations/engine_9999_next.py").write_text(NEXT)
    assert migrate(copy, url) == (0, f"Database: from empty to abc, {NEWER}.\n")
    code, said = run(copy, url, "alembic.config", "revision", "-m", "more", "--rev-id", "def")
    assert code == 0, said
    assert "= 'abc'" in (copy / "migrations/versions/def_more.py").read_text()


def test_older_code_leaves_newer_tables_as_they_are(url: str, copy: Path) -> None:
    (copy / "engine/sql/migrations/engine_9999_next.py").write_text(NEXT)
    migrate(copy, url)
    told = f"Database: at app_0001, {NEWER}, which is newer than this code. Nothing was changed.\n"
    assert migrate(PROJECT, url) == (0, told)
    assert migrate(copy, url) == (0, f"Database: already at app_0001, {NEWER}.\n")


def test_a_revision_of_the_team_from_0_x_goes_on_from_the_new_start(url: str, copy: Path) -> None:
    make_tables_of_0_3_0(url)
    (copy / "migrations/versions/abc_notes.py").write_text(ABC)
    execute(url, "UPDATE alembic_version SET version_num = 'abc'")
    assert migrate(copy, url) == (0, f"Database: from abc to abc, {HEADS}.\n")
    assert run(copy, url, "alembic.config", "-x", "branch=engine", "check")[0] == 0


@pytest.mark.parametrize("wait", ["0.1", "60"])
def test_a_lock_is_waited_for_so_long(url: str, tmp_path: Path, wait: str) -> None:
    make_tables_of_0_3_0(url)
    log = tmp_path / "migrate.log"
    with locked(url) as unlock:
        started = start(PROJECT, url, log, "app.cli", "migrate", "--wait", wait)
        if wait == "60":
            eventually(lambda: "retry" in log.read_text())
            unlock()
        code = started.wait(LIMIT)
    said = log.read_text()
    assert "Traceback" not in said
    if wait == "60":
        assert (code, said.splitlines()[-1]) == (0, f"Database: from 0008 to app_0001, {HEADS}.")
    else:
        assert code == 1
        assert "keeps a table, or the whole database, locked. Nothing was changed" in said
