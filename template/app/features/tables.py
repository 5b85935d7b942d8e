"""YOURS: the base class of this service's own tables.

A table is a class below `Base`, in its feature's folder, and stands in `TABLES` of the features.
`uv run alembic revision --autogenerate -m "what changed"` compares these tables alone with the
database. A column may refer to the caller: `mapped_column(ForeignKey("callers.id"))`.
"""

from typing import ClassVar

from sqlalchemy import MetaData
from sqlalchemy.orm import DeclarativeBase

from engine.sql import tables


class Base(DeclarativeBase):
    """The registry of this service's own tables; the engine has another."""

    metadata = MetaData(naming_convention=tables.Base.metadata.naming_convention)
    type_annotation_map: ClassVar = tables.Base.type_annotation_map


tables.Base.metadata.tables["callers"].to_metadata(Base.metadata)
