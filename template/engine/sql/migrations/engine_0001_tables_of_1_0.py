"""The tables of 1.0, also for a database of 0.3.0 to 0.4.0: it keeps all that is in it."""

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa
from alembic import op
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.schema import CreateIndex, CreateTable

from engine.errors import Conflict

revision: str = "engine_0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = "engine"
depends_on: str | Sequence[str] | None = None

NAMES = {
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
TABLES = MetaData(naming_convention=NAMES)
SQLITE_CONDITIONS = {"ready": "ready = 1", "NOT ready": "ready = 0"}
needed = partial(Column, nullable=False)


def partial_index(where: str, name: str, *columns: str, unique: bool = False) -> Index:
    on_sqlite = text(SQLITE_CONDITIONS.get(where, where))
    return Index(
        name, *columns, unique=unique, postgresql_where=text(where), sqlite_where=on_sqlite
    )


Table(
    "callers",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("name", String(100), unique=True),
    Column("requests_per_minute", Integer),
    needed("flags", JSON),
    needed("created_at", Double),
    needed("weight", Double),
    needed("priority", Integer),
    needed("virtual_time", Double),
)
Table(
    "api_keys",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("caller_id", String(40), ForeignKey("callers.id")),
    needed("hash", LargeBinary),
    needed("created_at", Double),
    Column("revoked_at", Double),
)
Table(
    "idempotency_keys",
    TABLES,
    needed("caller_id", String(40), ForeignKey("callers.id"), primary_key=True),
    needed("key", String(255), primary_key=True),
    needed("fingerprint", LargeBinary),
    Column("answer", LargeBinary),
    needed("created_at", Double),
)
Table(
    "usage",
    TABLES,
    needed("caller_id", String(40), ForeignKey("callers.id"), primary_key=True),
    needed("day", String(10), primary_key=True),
    needed("model", String(200), primary_key=True),
    needed("requests", BigInteger),
    needed("prompt_tokens", BigInteger),
    needed("completion_tokens", BigInteger),
)
Table(
    "files",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("caller_id", String(40), ForeignKey("callers.id")),
    needed("filename", Text),
    needed("purpose", String(20)),
    needed("bytes", BigInteger),
    needed("created_at", Double),
    needed("complete", Boolean),
    Column("batch_id", String(40)),
    Index("ix_files_caller", "caller_id", "id"),
)
Table(
    "file_chunks",
    TABLES,
    needed("file_id", String(40), ForeignKey("files.id", ondelete="CASCADE"), primary_key=True),
    needed("seq", Integer, primary_key=True),
    needed("data", LargeBinary),
)
Table(
    "batches",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("caller_id", String(40), ForeignKey("callers.id")),
    needed("endpoint", String(100)),
    needed("input_file_id", String(40)),
    needed("completion_window", String(10)),
    Column("batch_metadata", JSON),
    needed("request_id", String(100)),
    needed("status", String(20)),
    Column("errors", JSON),
    needed("total", Integer),
    needed("completed", Integer),
    needed("failed", Integer),
    Column("output_file_id", String(40)),
    Column("error_file_id", String(40)),
    needed("created_at", Double),
    needed("expires_at", Double),
    Column("in_progress_at", Double),
    Column("finalizing_at", Double),
    Column("completed_at", Double),
    Column("failed_at", Double),
    Column("expired_at", Double),
    Column("cancelling_at", Double),
    Column("cancelled_at", Double),
    Column("retry_of", String(40)),
    Column("model", String(200)),
    Column("prompt_tokens", BigInteger),
    Column("completion_tokens", BigInteger),
    Index("ix_batches_caller", "caller_id", "id"),
    Index("ix_batches_open", "status", "expires_at"),
)
Table(
    "batch_items",
    TABLES,
    needed("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    needed("batch_id", String(40), ForeignKey("batches.id", ondelete="CASCADE")),
    needed("seq", Integer),
    needed("custom_id", Text),
    needed("status", String(20)),
    needed("body", LargeBinary),
    Column("response", LargeBinary),
    Column("error_code", String(100)),
    Column("error_message", Text),
    needed("attempt", Integer),
    needed("errors", Integer),
    needed("crashes", Integer),
    needed("alone", Boolean),
    needed("not_before", Double),
    Column("owner", String(100)),
    Column("finished_at", Double),
    Column("place", Integer),
    UniqueConstraint("batch_id", "seq"),
    partial_index("status = 'pending'", "ix_batch_items_claim", "batch_id", "not_before", "seq"),
    partial_index("place IS NOT NULL", "ix_batch_items_place", "batch_id", "place", unique=True),
    partial_index("status = 'running'", "ix_batch_items_running", "batch_id", "owner"),
    partial_index(
        "place IS NULL AND finished_at IS NOT NULL", "ix_batch_items_unplaced", "batch_id", "seq"
    ),
)
Table(
    "batch_lanes",
    TABLES,
    needed("batch_id", String(40), ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    needed("lane", Integer, primary_key=True),
    Column("caller_id", String(40)),
    needed("generation", Integer),
    needed("heartbeat_at", Double),
    needed("ready", Boolean, server_default=false()),
    Column("ready_at", Double),
    partial_index("NOT ready", "ix_batch_lanes_due", "ready_at"),
    partial_index("heartbeat_at > 0", "ix_batch_lanes_held", "heartbeat_at"),
    partial_index("ready", "ix_batch_lanes_ready", "caller_id", "lane", "batch_id"),
    partial_index("caller_id IS NULL", "ix_batch_lanes_unadopted", "batch_id"),
)
Table(
    "jobs",
    TABLES,
    needed("id", String(40), primary_key=True),
    Column("caller_id", String(40), ForeignKey("callers.id")),
    needed("name", String(100)),
    needed("subject", JSON),
    needed("status", String(20)),
    Column("progress", JSON),
    Column("result", JSON),
    Column("error_code", String(100)),
    Column("error_message", Text),
    needed("request_id", String(100)),
    Column("traceparent", String(100)),
    needed("scheduled", Boolean),
    needed("attempt", Integer),
    needed("errors", Integer),
    needed("crashes", Integer),
    needed("not_before", Double),
    Column("owner", String(100)),
    needed("deadline_at", Double),
    needed("created_at", Double),
    Column("started_at", Double),
    Column("finished_at", Double),
    Index("ix_jobs_caller", "caller_id", "id"),
    partial_index("status = 'queued'", "ix_jobs_late", "deadline_at"),
    partial_index("status IN ('running', 'cancelling')", "ix_jobs_owner", "owner"),
    partial_index("status = 'queued'", "ix_jobs_waiting", "caller_id", "not_before", "id"),
)
Table(
    "webhooks",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("caller_id", String(40), ForeignKey("callers.id")),
    needed("name", String(100)),
    needed("url", Text),
    needed("events", JSON),
    needed("secret", String(100)),
    Column("previous_secret", String(100)),
    Column("previous_until", Double),
    needed("created_at", Double),
    needed("updated_at", Double),
    Column("disabled_at", Double),
    Index("ix_webhooks_caller", "caller_id", "id"),
)
Table(
    "webhook_deliveries",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("webhook_id", String(40), ForeignKey("webhooks.id", ondelete="CASCADE")),
    needed("event", String(40)),
    needed("subject_id", String(40)),
    needed("payload", LargeBinary),
    needed("status", String(20)),
    needed("attempt", Integer),
    needed("next_at", Double),
    Column("last_status", Integer),
    Column("last_error", Text),
    needed("created_at", Double),
    Column("finished_at", Double),
    UniqueConstraint("webhook_id", "event", "subject_id"),
    partial_index("status = 'dead'", "ix_webhook_deliveries_dead", "finished_at"),
    partial_index(
        "status = 'pending' AND attempt > 0 AND last_error IS NULL",
        "ix_webhook_deliveries_in_flight",
        "next_at",
    ),
    partial_index("status = 'pending'", "ix_webhook_deliveries_waiting", "webhook_id", "next_at"),
)
Table(
    "leases",
    TABLES,
    needed("id", String(100), primary_key=True),
    needed("expires_at", Double),
)
Table(
    "pauses",
    TABLES,
    needed("subject", String(40), primary_key=True),
    needed("since", Double),
)
Table(
    "schedules",
    TABLES,
    needed("name", String(100), primary_key=True),
    needed("tick", Double),
)
Table(
    "workers",
    TABLES,
    needed("id", String(40), primary_key=True),
    needed("host", String(255)),
    needed("pid", Integer),
    needed("started_at", Double),
    needed("seen_at", Double),
)

NOW = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}
READY = "lane >= 0 AND status IN ('validating', 'in_progress', 'finalizing', 'cancelling')"
LANES = f"""
INSERT INTO batch_lanes (batch_id, lane, caller_id, generation, heartbeat_at, ready, ready_at)
SELECT batch_id, lane, batches.caller_id, generation, heartbeat_at, {READY},
    CASE WHEN {READY} THEN %s END
FROM deliveries JOIN batches ON batches.id = batch_id
"""  # noqa: S608
INDEXES_OF_0_3_0 = {
    "ix_batch_items_owner": "batch_items",
    "ix_jobs_queued": "jobs",
    "ix_webhook_deliveries_due": "webhook_deliveries",
}


def upgrade() -> None:
    before = not op.get_context().as_sql and _is_of_0_x()
    for table in TABLES.sorted_tables:
        op.execute(CreateTable(table, if_not_exists=before))
        for index in table.indexes:
            op.execute(CreateIndex(index, if_not_exists=before))
    if before:
        _leave_0_x()


def downgrade() -> None:
    for table in reversed(TABLES.sorted_tables):
        op.drop_table(table.name)


def _is_of_0_x() -> bool:
    inspector = sa.inspect(op.get_bind())
    if not {"callers", "deliveries"} <= set(inspector.get_table_names()):
        return False
    if "virtual_time" not in {each["name"] for each in inspector.get_columns("callers")}:
        raise Conflict("These tables are older than 0.3.0: run `app migrate` of 0.4.0 first.")
    return True


def _leave_0_x() -> None:
    inspector = sa.inspect(op.get_bind())
    if "model" not in {each["name"] for each in inspector.get_columns("batches")}:
        op.add_column("batches", Column("model", String(200)))
        op.add_column("batches", Column("prompt_tokens", BigInteger))
        op.add_column("batches", Column("completion_tokens", BigInteger))
    op.execute(LANES % NOW[op.get_context().dialect.name])
    op.drop_table("deliveries")
    for name, table in INDEXES_OF_0_3_0.items():
        op.drop_index(name, table, if_exists=True)
