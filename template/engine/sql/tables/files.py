"""Files and their pieces."""

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base


class FileRow(Base):
    """An uploaded file, or the output of a batch: then its lines are the items of `batch_id`."""

    __tablename__ = "files"
    __table_args__ = (Index("ix_files_caller", "caller_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    filename: Mapped[str] = mapped_column(Text)
    purpose: Mapped[str] = mapped_column(String(20))
    bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]
    complete: Mapped[bool]
    batch_id: Mapped[str | None] = mapped_column(String(40))


class FileChunkRow(Base):
    """A piece of an uploaded file, small enough to hold in memory."""

    __tablename__ = "file_chunks"

    file_id: Mapped[str] = mapped_column(
        ForeignKey("files.id", ondelete="CASCADE"), primary_key=True
    )
    seq: Mapped[int] = mapped_column(primary_key=True)
    data: Mapped[bytes]
