"""The order in which items end, and an index of those that have ended without a place in it."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PLACED = sa.text("place IS NOT NULL")
UNPLACED = sa.text("place IS NULL AND finished_at IS NOT NULL")
RANK = """
    UPDATE batch_items SET place = ranked.place
    FROM (
        SELECT id, row_number() OVER (PARTITION BY batch_id ORDER BY finished_at, seq) AS place
        FROM batch_items WHERE status IN ('succeeded', 'failed')
    ) AS ranked
    WHERE ranked.id = batch_items.id
"""


def upgrade() -> None:
    """Add both, and give the items that have ended their places."""
    op.add_column("batch_items", sa.Column("place", sa.Integer()))
    op.execute(RANK)
    op.create_index(
        "ix_batch_items_place",
        "batch_items",
        ["batch_id", "place"],
        unique=True,
        postgresql_where=PLACED,
        sqlite_where=PLACED,
    )
    op.create_index(
        "ix_batch_items_unplaced",
        "batch_items",
        ["batch_id", "seq"],
        postgresql_where=UNPLACED,
        sqlite_where=UNPLACED,
    )


def downgrade() -> None:
    """Drop both."""
    op.drop_index("ix_batch_items_unplaced", "batch_items")
    op.drop_index("ix_batch_items_place", "batch_items")
    op.drop_column("batch_items", "place")
