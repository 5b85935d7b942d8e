"""The database clock: processes with different clocks agree on leases."""

from sqlalchemy import Double, ScalarSelect, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


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
