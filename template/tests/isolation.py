"""Tests take no setting from the person who runs them, and open no database that they did not make.

`isolate` empties the environment of settings and switches `.env` and `settings.toml` off, for this
process and for all that it starts. A database belongs to the tests if its file lies in one of their
folders, or if they have started its server.
"""

import os
from pathlib import Path
from typing import Any

from sqlalchemy import Dialect, Engine, event, make_url

from app.settings import Settings
from engine.settings import SETTINGS_FILES

SQLITE_IN_MEMORY = ("", ":memory:")

ISOLATED = "TESTS_ISOLATED"
"""Variable of a process whose environment has only settings that a test gave it."""

_folders: set[Path] = set()
_ports: set[int] = set()


class ForeignDatabaseError(AssertionError):
    """A test was about to open a database that no test has made."""

    def __init__(self, database: object) -> None:
        super().__init__(
            f"{database} was not made by these tests, so they do not open it. Give the test a "
            "database of its own: the fixtures `database_url` and `live` have one."
        )


def isolate() -> None:
    """Remove settings and proxies from the environment, once; read none from files."""
    if ISOLATED in os.environ:
        return
    names = {name.upper() for name in Settings.model_fields}
    for name in list(os.environ):
        if name.upper() in names or name.upper().endswith("_PROXY"):
            del os.environ[name]
    os.environ[ISOLATED] = "yes"
    os.environ[SETTINGS_FILES] = "none"
    # No server here has a certificate of an authority, and to read all of these takes each client
    # 33 ms of the processor.
    os.environ.pop("SSL_CERT_FILE", None)
    os.environ["SSL_CERT_DIR"] = os.devnull
    # Hundreds of processes start here. With this variable, which images of containers set, each
    # one compiles its libraries anew: 2.7 s, not 0.5 s.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def refuse_foreign_databases() -> None:
    """Check each new connection of this process; `check_url` is for those that it starts."""
    event.listen(Engine, "do_connect", _check_connection)


def own_folder(folder: Path) -> None:
    """Let the tests open SQLite databases in a folder that they have made."""
    _folders.add(folder.resolve())


def own_server(port: int) -> None:
    """Let the tests use a PostgreSQL server that they have started on this port of loopback."""
    _ports.add(port)


def check_url(url: str) -> None:
    """Raise `ForeignDatabaseError` unless the tests have made the database of this URL."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _check_file(parsed.database or "")
    elif parsed.port not in _ports:
        raise ForeignDatabaseError(parsed.render_as_string())


def _check_connection(
    dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]
) -> None:
    if dialect.name == "sqlite":
        _check_file(str(arguments[0]))
    elif "dsn" in options:
        check_url(options["dsn"])
    elif options.get("port") not in _ports:
        raise ForeignDatabaseError(f"{options.get('host')}:{options.get('port')}")


def _check_file(name: str) -> None:
    path = Path(name).resolve()
    if name not in SQLITE_IN_MEMORY and not _folders & {*path.parents}:
        raise ForeignDatabaseError(path)
