"""SQLite's plans for the statements that are run."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPICursor, _DBAPIAnyExecuteParams


@contextmanager
def sqlite_plans() -> Iterator[list[str]]:
    """Give the lines of the plans of all statements of the block but `INSERT`."""
    plans: list[str] = []

    def ask(
        connection: Connection,
        _cursor: DBAPICursor,
        statement: str,
        values: _DBAPIAnyExecuteParams,
        *_: object,
    ) -> None:
        if not statement.startswith("INSERT"):
            asked = connection.connection.cursor()
            asked.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plans.extend(row[-1] for row in asked.fetchall())

    event.listen(Engine, "before_cursor_execute", ask)
    try:
        yield plans
    finally:
        event.remove(Engine, "before_cursor_execute", ask)
