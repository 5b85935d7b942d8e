"""Batches, their items, lanes and leases, and pauses."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
)
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import SERIAL, Base, index_of

OPEN_BATCH = ("validating", "in_progress", "finalizing", "cancelling")
UNPLACED = "place IS NULL AND finished_at IS NOT NULL"


class BatchRow(Base):
    """A batch. Its counters change in the same transaction as its items.

    `model` is the model that answered first; it and the tokens are None until one has answered.
    """

    __tablename__ = "batches"
    __table_args__ = (
        Index("ix_batches_caller", "caller_id", "id"),
        Index("ix_batches_open", "status", "expires_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    endpoint: Mapped[str] = mapped_column(String(100))
    input_file_id: Mapped[str] = mapped_column(String(40))
    completion_window: Mapped[str] = mapped_column(String(10))
    batch_metadata: Mapped[dict[str, Any] | None]
    request_id: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20))
    errors: Mapped[list[dict[str, Any]] | None] = mapped_column(JSON)
    total: Mapped[int] = mapped_column(default=0)
    completed: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    output_file_id: Mapped[str | None] = mapped_column(String(40))
    error_file_id: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    in_progress_at: Mapped[float | None]
    finalizing_at: Mapped[float | None]
    completed_at: Mapped[float | None]
    failed_at: Mapped[float | None]
    expired_at: Mapped[float | None]
    cancelling_at: Mapped[float | None]
    cancelled_at: Mapped[float | None]
    retry_of: Mapped[str | None] = mapped_column(String(40))
    model: Mapped[str | None] = mapped_column(String(200))
    prompt_tokens: Mapped[int | None] = mapped_column(BigInteger)
    completion_tokens: Mapped[int | None] = mapped_column(BigInteger)


class ItemRow(Base):
    """One line of a batch, and its result.

    `attempt` counts claims and is the fencing token against late writers: a result is recorded only
    for the attempt that is written here. `errors` counts the item's own failures, `crashes` lost
    workers; the item runs `alone` when one more crash would be its end. `place` is the item's
    place, from 1, in the order in which the items of its batch ended; see `feed.py`.
    """

    __tablename__ = "batch_items"
    __table_args__ = (
        UniqueConstraint("batch_id", "seq"),
        index_of("status = 'pending'", "ix_batch_items_claim", "batch_id", "not_before", "seq"),
        index_of("status = 'running'", "ix_batch_items_running", "batch_id", "owner"),
        index_of("place IS NOT NULL", "ix_batch_items_place", "batch_id", "place", unique=True),
        index_of(UNPLACED, "ix_batch_items_unplaced", "batch_id", "seq"),
    )

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    batch_id: Mapped[str] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    seq: Mapped[int]
    custom_id: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20), default="pending")
    body: Mapped[bytes]
    response: Mapped[bytes | None]
    error_code: Mapped[str | None] = mapped_column(String(100))
    error_message: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    alone: Mapped[bool] = mapped_column(default=False)
    not_before: Mapped[float] = mapped_column(default=0.0)
    owner: Mapped[str | None] = mapped_column(String(100))
    finished_at: Mapped[float | None]
    place: Mapped[int | None]


class LeaseRow(Base):
    """The lease of one drain of a batch or run of a job, which its heartbeat prolongs.

    One row for all its items, because leases on items made PostgreSQL deadlock between heartbeats
    and completions.
    """

    __tablename__ = "leases"

    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    expires_at: Mapped[float]


class BatchLaneRow(Base):
    """A lane of a batch, on which one worker at a time may work.

    `heartbeat_at` is that worker's last heartbeat, 0 while the lane is free; `generation` counts
    claims and is the fencing token against an older drain. A `ready` lane may be claimed since
    `ready_at`; another lane is looked at then, or never where it is None: see `readiness.py`.
    """

    __tablename__ = "batch_lanes"
    __table_args__ = (
        index_of("ready", "ix_batch_lanes_ready", "caller_id", "lane", "batch_id"),
        index_of("NOT ready", "ix_batch_lanes_due", "ready_at"),
        index_of("heartbeat_at > 0", "ix_batch_lanes_held", "heartbeat_at"),
        index_of("caller_id IS NULL", "ix_batch_lanes_unadopted", "batch_id"),
    )

    batch_id: Mapped[str] = mapped_column(
        ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True
    )
    lane: Mapped[int] = mapped_column(primary_key=True)
    caller_id: Mapped[str | None] = mapped_column(String(40))
    generation: Mapped[int] = mapped_column(default=0)
    heartbeat_at: Mapped[float] = mapped_column(default=0.0)
    ready: Mapped[bool] = mapped_column(default=False, server_default=false())
    ready_at: Mapped[float | None]


class PauseRow(Base):
    """A pause of batches `since` a moment: of the caller with the id `subject`, or `*` for all."""

    __tablename__ = "pauses"

    subject: Mapped[str] = mapped_column(String(40), primary_key=True)
    since: Mapped[float]


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
