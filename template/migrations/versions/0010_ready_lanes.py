"""Lanes say when they have work, and indexes in which claims look things up one by one.

Workers of the release before may run beside this one: they leave the new columns empty, and sweeps
fill them.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0010"
down_revision: str | Sequence[str] | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

READY = {"postgresql": "ready", "sqlite": "ready = 1"}
ASLEEP = {"postgresql": "NOT ready", "sqlite": "ready = 0"}
OPEN = "('validating', 'in_progress', 'finalizing', 'cancelling')"
NOW = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
}

PENDING, QUEUED = "status = 'pending'", "status = 'queued'"
OLD = (
    ("ix_batch_items_owner", "batch_items", ["owner"], "status = 'running'"),
    ("ix_jobs_queued", "jobs", ["not_before"], QUEUED),
    ("ix_webhook_deliveries_due", "webhook_deliveries", ["next_at"], PENDING),
)
IN_FLIGHT = f"{PENDING} AND attempt > 0 AND last_error IS NULL"


def upgrade() -> None:
    """Add the columns, make the lanes of open batches ready, and replace the indexes."""
    dialect = op.get_context().dialect.name
    op.add_column("deliveries", sa.Column("caller_id", sa.String(40)))
    op.add_column(
        "deliveries", sa.Column("ready", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column("deliveries", sa.Column("ready_at", sa.Double()))
    op.execute(
        "UPDATE deliveries SET caller_id = batches.caller_id FROM batches"
        " WHERE batches.id = deliveries.batch_id"
    )
    op.execute(
        f"UPDATE deliveries SET ready = true, ready_at = {NOW[dialect]} WHERE lane >= 0"  # noqa: S608
        f" AND batch_id IN (SELECT id FROM batches WHERE status IN {OPEN})"
    )
    for name, table, columns, where in _new(dialect):
        _create(name, table, columns, where)
    for name, table, _, _ in OLD:
        op.drop_index(name, table)


def downgrade() -> None:
    """Put the old indexes back and drop the columns."""
    dialect = op.get_context().dialect.name
    for name, table, columns, where in OLD:
        _create(name, table, columns, where)
    for name, table, _, _ in _new(dialect):
        op.drop_index(name, table)
    for column in ("ready_at", "ready", "caller_id"):
        op.drop_column("deliveries", column)


def _new(dialect: str) -> Sequence[tuple[str, str, list[str], str]]:
    return (
        ("ix_deliveries_ready", "deliveries", ["caller_id", "lane", "batch_id"], READY[dialect]),
        ("ix_deliveries_due", "deliveries", ["ready_at"], ASLEEP[dialect]),
        ("ix_deliveries_held", "deliveries", ["heartbeat_at"], "heartbeat_at > 0"),
        ("ix_deliveries_unadopted", "deliveries", ["batch_id"], "caller_id IS NULL"),
        ("ix_batch_items_running", "batch_items", ["batch_id", "owner"], "status = 'running'"),
        ("ix_jobs_waiting", "jobs", ["caller_id", "not_before", "id"], QUEUED),
        ("ix_jobs_late", "jobs", ["deadline_at"], QUEUED),
        *(
            (f"ix_webhook_deliveries_{name}", "webhook_deliveries", columns, where)
            for name, columns, where in (
                ("waiting", ["webhook_id", "next_at"], PENDING),
                ("in_flight", ["next_at"], IN_FLIGHT),
                ("dead", ["finished_at"], "status = 'dead'"),
            )
        ),
    )


def _create(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, postgresql_where=condition, sqlite_where=condition)
