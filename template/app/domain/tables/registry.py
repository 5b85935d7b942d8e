"""What all tables share.

Times are seconds since 1970, as in OpenAI's objects; ids carry their kind.
"""

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, Integer, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
SERIAL = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER keys by itself


class Base(DeclarativeBase):
    """The registry of tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {float: Double, dict[str, Any]: JSON, list[str]: JSON, bytes: LargeBinary}  # noqa: RUF012
