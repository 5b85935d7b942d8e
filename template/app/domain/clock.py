"""The database's clock, so that processes whose clocks differ agree on leases."""

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import FunctionElement


class now(FunctionElement[float]):  # noqa: N801 -- reads like the SQL function that it is
    """Seconds since 1970, as a SQL expression."""

    type = Double()
    inherit_cache = True


@compiles(now, "postgresql")
def _postgresql(_element: now, _compiler: object, **_: object) -> str:
    return "extract(epoch from clock_timestamp())"


@compiles(now, "sqlite")
def _sqlite(_element: now, _compiler: object, **_: object) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"
