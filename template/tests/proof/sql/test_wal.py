"""The first to open a new SQLite database switch it to a write-ahead log, several at once."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Barrier

from engine.sql.database import use_wal

SIDES = 4


def test_several_may_be_the_first_to_open_a_database(tmp_path: Path) -> None:
    together = Barrier(SIDES)
    for number in range(60):
        path = tmp_path / f"{number}.db"
        with closing(sqlite3.connect(path)) as made:
            made.execute("CREATE TABLE t (x)")
        with ThreadPoolExecutor(SIDES) as threads:
            opened = [threads.submit(partial(opens, path, together)) for _ in range(SIDES)]
            assert [each.result() for each in opened] == ["wal"] * SIDES


def opens(path: Path, together: Barrier) -> str:
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        together.wait()
        use_wal(connection)
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
