"""Webhooks have a name and tell when they were changed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

WITHOUT_SCHEME = "substr(url, instr(url, '//') + 2)"
HOST = {
    "sqlite": f"substr({WITHOUT_SCHEME}, 1, instr({WITHOUT_SCHEME}, '/') - 1)",
    "postgresql": "split_part(url, '/', 3)",
}
"""The part of a URL that says where it leads. All that are stored have a path, if only `/`."""


def upgrade() -> None:
    """Add the columns; the name of a webhook that has none is its host."""
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.add_column(sa.Column("name", sa.String(100)))
        webhooks.add_column(sa.Column("updated_at", sa.Double()))
    host = HOST[op.get_context().dialect.name]
    op.execute(
        f"UPDATE webhooks SET name = substr({host}, 1, 100), updated_at = created_at"  # noqa: S608
    )
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.alter_column("name", existing_type=sa.String(100), nullable=False)
        webhooks.alter_column("updated_at", existing_type=sa.Double(), nullable=False)


def downgrade() -> None:
    """Drop the columns."""
    with op.batch_alter_table("webhooks") as webhooks:
        webhooks.drop_column("updated_at")
        webhooks.drop_column("name")
