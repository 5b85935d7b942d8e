"""What a statement touches, and what it has done."""

from typing import Any

from sqlalchemy import CursorResult, Delete, Insert, Select, Update, select
from sqlalchemy.orm import Session


def some(locking: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Return what the rows of a limited select with `SKIP LOCKED` are, to be used with `in_`.

    It is run once. PostgreSQL may run a plain subquery for each row of the other table, and this
    kind gives other rows each time: `LIMIT 10` took all 200 items of a batch. It stands inside the
    subquery since SQLite's driver counts no rows of a statement that begins with `WITH`.
    """
    return select(locking.cte(nesting=True))


def changed(session: Session, statement: Update | Delete | Insert) -> int:
    """Run the statement and return how many rows it has changed."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- what these give
    return result.rowcount
