"""Parts of SQL statements: ids, the database clock, locking selects, skip scans, counts."""

from typing import Any

import uuid_utils
from sqlalchemy import (
    CTE,
    ColumnElement,
    ColumnExpressionArgument,
    CursorResult,
    Delete,
    Double,
    Insert,
    ScalarSelect,
    Select,
    Update,
    func,
    literal_column,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.expression import FunctionElement


def new_id(kind: str) -> str:
    """Return a new id such as `batch_0198c5…`: UUIDv7, so later ids sort after earlier ones."""
    return f"{kind}_{uuid_utils.uuid7().hex}"


def id_at(kind: str, moment: float) -> str:
    """Return a bound that sorts after each id made before `moment`, in seconds since 1970."""
    return f"{kind}_{int(moment * 1000):012x}"


class now(FunctionElement[float]):  # noqa: N801 -- reads like the SQL function that it is
    """Seconds since 1970, as a SQL expression."""

    type = Double()
    inherit_cache = True


def instant() -> ScalarSelect[float]:
    """Return `now()` as a subquery, evaluated once: only so PostgreSQL searches an index."""
    return select(now()).scalar_subquery()


@compiles(now, "postgresql")
def _postgresql(_element: now, _compiler: object, **_: object) -> str:
    return "extract(epoch from clock_timestamp())"


@compiles(now, "sqlite")
def _sqlite(_element: now, _compiler: object, **_: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


def some_rows(locking: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Return the rows of a limited select with `SKIP LOCKED`, to be used with `in_`.

    It is run once. PostgreSQL may run a plain subquery for each row of the other table, and this
    kind gives other rows each time: `LIMIT 10` took all 200 items of a batch. It stands inside the
    subquery since SQLite's driver counts no rows of a statement that begins with `WITH`.
    """
    return select(locking.cte(nesting=True))


def sql_constant(value: str) -> ColumnElement[str]:
    """Return a value that is written into a statement, not bound to it.

    A partial index is used only where its condition is seen in the statement: not by PostgreSQL's
    plan for any value, and not by SQLite for values in a list.
    """
    return literal_column(f"'{value}'")


def skip_scan(column: InstrumentedAttribute[Any], *where: ColumnExpressionArgument[bool]) -> CTE:
    """Return the distinct values of a column in the rows that meet these conditions, as `value`.

    A skip scan, or loose index scan: one look into an index that begins with the column for each
    value. PostgreSQL has none before version 18, where `DISTINCT` reads all rows.
    """
    values = select(func.min(column).label("value")).where(*where).cte("values", recursive=True)
    following = select(func.min(column)).where(*where, column > values.c.value).scalar_subquery()
    return values.union_all(select(following).where(values.c.value.is_not(None)))


def rows_changed(session: Session, statement: Update | Delete | Insert) -> int:
    """Run the statement and return how many rows it has changed."""
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)  # noqa: S101 -- of all three
    return result.rowcount
