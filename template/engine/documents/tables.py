"""Vector stores, the files attached to them, their chunks, and pages of vectors.

JSON lies in bytes, because PostgreSQL's JSON takes no NUL.
"""

from sqlalchemy import BigInteger, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import SERIAL, Base, index_of

CASCADE = "CASCADE"


class VectorStoreRow(Base):
    """A store of one caller. `space` names the model that made its vectors, and their prefixes.

    `expires_days` count from `last_active_at`. One with a `deleted_at` is gone for its caller, and
    a job removes what is left of it.
    """

    __tablename__ = "vector_stores"
    __table_args__ = (
        Index("ix_vector_stores_caller", "caller_id", "id"),
        index_of("expires_at IS NOT NULL", "ix_vector_stores_expiry", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    name: Mapped[str | None] = mapped_column(Text)
    description: Mapped[str | None] = mapped_column(Text)
    labels: Mapped[bytes] = mapped_column("metadata")
    space: Mapped[str] = mapped_column(String(300))
    dimensions: Mapped[int]
    created_at: Mapped[float]
    last_active_at: Mapped[float]
    expires_days: Mapped[int | None]
    expires_at: Mapped[float | None]
    deleted_at: Mapped[float | None]


class FileBatchRow(Base):
    """Files that were attached to a store together; their own rows have the status."""

    __tablename__ = "file_batches"
    __table_args__ = (Index("ix_file_batches_store", "store_id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete=CASCADE))
    caller_id: Mapped[str] = mapped_column(String(40))
    cancelled: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[float]


class StoreFileRow(Base):
    """A file in a store; `job_id` is the job that ingests it, and `error` says why it failed.

    `recipe` names what cut its chunks, and `extracted` says that all of them are there. One with
    the status `deleted` is gone for its caller; its `file_id` is its own id then, so that the file
    can be attached anew while a job removes the rest.
    """

    __tablename__ = "store_files"
    __table_args__ = (
        UniqueConstraint("store_id", "file_id", name="uq_store_files_store_id_file_id"),
        Index("ix_store_files_caller", "caller_id"),
        Index("ix_store_files_file", "file_id"),
        index_of("batch_id IS NOT NULL", "ix_store_files_batch", "batch_id", "id"),
        index_of("status = 'in_progress'", "ix_store_files_unfinished", "store_id", "id"),
        index_of(
            "status IN ('cancelled', 'deleted', 'failed')",
            "ix_store_files_unused",
            *("store_id", "id"),
        ),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id", ondelete=CASCADE))
    file_id: Mapped[str] = mapped_column(String(40))
    caller_id: Mapped[str] = mapped_column(String(40))
    batch_id: Mapped[str | None] = mapped_column(String(40))
    job_id: Mapped[str] = mapped_column(String(40))
    filename: Mapped[str] = mapped_column(Text)
    attributes: Mapped[bytes]
    strategy: Mapped[bytes]
    recipe: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20), default="in_progress")
    error: Mapped[bytes | None]
    chunks: Mapped[int] = mapped_column(default=0)
    extracted: Mapped[bool] = mapped_column(default=False)
    file_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    usage_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    created_at: Mapped[float]


class DocumentChunkRow(Base):
    """A chunk of a file's text, by its position from 0. `page` is that of its first word.

    Its first `repeated` characters are the end of the chunk before. `scope` is the store, as a word
    of the index: see `words.py`.
    """

    __tablename__ = "document_chunks"
    __table_args__ = (
        UniqueConstraint("store_file_id", "seq", name="uq_document_chunks_store_file_id_seq"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    store_file_id: Mapped[str] = mapped_column(ForeignKey("store_files.id", ondelete=CASCADE))
    scope: Mapped[str] = mapped_column(String(40))
    seq: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    tokens: Mapped[int]
    repeated: Mapped[int]
    page: Mapped[int | None]


class VectorPageRow(Base):
    """Vectors of `count` chunks from the position `first`: float32, little-endian, of length 1.

    A page never changes once it is written, and no other one has ever its id: processes keep pages
    in memory by it.
    """

    __tablename__ = "vector_pages"
    __table_args__ = (
        UniqueConstraint(
            "store_file_id", "space", "first", name="uq_vector_pages_store_file_id_space_first"
        ),
        {"sqlite_autoincrement": True},  # or SQLite gives the last row's id again once it is gone
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    store_file_id: Mapped[str] = mapped_column(ForeignKey("store_files.id", ondelete=CASCADE))
    space: Mapped[str] = mapped_column(String(300))
    first: Mapped[int]
    count: Mapped[int]
    vectors: Mapped[bytes]
