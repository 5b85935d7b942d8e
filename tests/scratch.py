"""Databases of a test, and places of databases that a test must not come to."""

import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Self

from demo.service import free_port

START_LIMIT = 60.0


class Doorbell:
    """A place where a PostgreSQL might be: connections to it are counted and get no answer."""

    def __enter__(self) -> Self:
        """Listen on a free port of loopback."""
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.setblocking(False)
        self.url = f"postgresql://app@127.0.0.1:{self._server.getsockname()[1]}/postgres"
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no longer."""
        self._server.close()

    def take_visitors(self) -> int:
        """Return how many connections have come since the last time; the kernel queued them."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._server.accept()[0].close()
                count += 1
        return count


@contextmanager
def scratch_postgres() -> Iterator[str]:
    """Start a PostgreSQL on a free port of loopback; yield its URL. It ends with the block."""
    binaries = _binaries()
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    with tempfile.TemporaryDirectory() as name, free_port() as port:
        folder = Path(name)
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        log = folder / "postgres.log"
        initdb = [f"{binaries}/initdb", "-D", f"{name}/data", "-U", "app", "-A", "trust"]
        subprocess.run(initdb, check=True, capture_output=True, user=user)
        options = ["-c", f"unix_socket_directories={name}"]
        command = [f"{binaries}/postgres", "-D", f"{name}/data", "-p", str(port), *options]
        with log.open("wb") as out, subprocess.Popen(command, user=user, stderr=out) as server:
            try:
                _wait_for(port)
                yield f"postgresql://app@127.0.0.1:{port}/postgres"
            finally:
                server.send_signal(signal.SIGINT)  # ends it fast, clients or not


def scratch_sqlite(path: Path) -> bytes:
    """Make a database of one row; return its bytes."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ours (id TEXT)")
        connection.execute("INSERT INTO ours VALUES ('untouched')")
    return path.read_bytes()


def _binaries() -> Path:
    on_path = shutil.which("initdb")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    if not on_path and not found:
        raise RuntimeError("PostgreSQL is missing: `apt-get install postgresql` brings it.")
    return (found[0] if found else Path(str(on_path))).resolve().parent


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        with socket.socket() as connection:
            if connection.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.05)
