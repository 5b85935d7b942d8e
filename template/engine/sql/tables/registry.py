"""The registry of tables, with the types and names that all of them share.

Times are seconds since 1970, as in OpenAI's objects; ids carry their kind.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Index, Integer, LargeBinary, MetaData, text
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys by itself

SQLITE_CONDITIONS = {"ready": "ready = 1", "NOT ready": "ready = 0"}
"""As SQLAlchemy writes them there: SQLite uses an index for its condition's own words alone."""


def index_of(where: str, name: str, *columns: str, unique: bool = False) -> Index:
    """Return a partial index, of the rows that meet a condition."""
    on_sqlite = SQLITE_CONDITIONS.get(where, where)
    return Index(
        name,
        *columns,
        unique=unique,
        postgresql_where=text(where),
        sqlite_where=text(on_sqlite),
    )


class Base(DeclarativeBase):
    """The registry of tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, list[str]: JSON, bytes: LargeBinary}  # noqa: RUF012
