"""Tests open no database that they did not make, and take no setting from where they are typed."""

import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.settings import Settings
from engine.settings import SETTINGS_FILES
from engine.sql.database import open_database
from tests.isolation import ISOLATED, ForeignDatabaseError
from tests.service import PROJECT, free_port, service

READ = (
    "import tests; from app.settings import Settings; s = Settings(); "
    "print(s.database_url, s.port == Settings.model_fields['port'].default)"
)


@pytest.fixture
def foreign() -> Iterator[Path]:
    """A database of somebody else, which must stay as it is."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "foreign.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE ours (id TEXT)")
        before = path.read_bytes()
        yield path
        assert path.read_bytes() == before


def wipe(session: Session) -> None:
    session.execute(text("DROP TABLE ours"))


@pytest.mark.anyio
async def test_a_foreign_file_is_not_opened(foreign: Path) -> None:
    with pytest.raises(ForeignDatabaseError, match="was not made by these tests"):
        async with open_database(Settings(database_url=f"sqlite:///{foreign}")) as database:
            await database.write(wipe)


@pytest.mark.anyio
async def test_a_foreign_server_is_not_asked() -> None:
    url = f"postgresql://app@127.0.0.1:{free_port()}/theirs"
    with pytest.raises(ForeignDatabaseError, match="was not made by these tests"):
        async with open_database(Settings(database_url=url)):
            pass


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a port for a server")
def test_a_port_is_kept_for_the_server_that_it_was_given_to() -> None:
    address = "127.0.0.1", free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(address)
    with socket.create_server(address):
        pass


def test_no_process_is_started_on_a_foreign_database(redis_url: str, tmp_path: Path) -> None:
    url = f"sqlite:///{Path(tempfile.gettempdir()) / 'foreign.db'}"
    with (
        pytest.raises(ForeignDatabaseError, match="`database_url` and `live` have one"),
        service(tmp_path, redis_url, url),
    ):
        pass


@pytest.mark.parametrize(("variable", "value"), [("DATABASE_URL", "sqlite:///x"), ("port", "7")])
def test_a_setting_of_the_shell_does_not_reach_the_tests(variable: str, value: str) -> None:
    environment = {name: each for name, each in os.environ.items() if name != ISOLATED}
    assert read_settings(PROJECT, environment | {variable: value}) == "None True"


def test_the_files_of_a_folder_do_not_reach_the_tests(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=sqlite:///x")
    (tmp_path / "settings.toml").write_text("port = 7")
    environment = dict(os.environ)
    assert read_settings(tmp_path, environment) == "None True"
    del environment[SETTINGS_FILES]
    assert read_settings(tmp_path, environment) == "sqlite:///x False"


def read_settings(folder: Path, environment: dict[str, str]) -> str:
    """Return what a process of the tests that begins in the folder takes for settings."""
    return subprocess.run(
        [sys.executable, "-c", READ],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(PROJECT)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
