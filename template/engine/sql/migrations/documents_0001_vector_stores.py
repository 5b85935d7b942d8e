"""Vector stores: the tables of the option `documents`. They refer to `callers`, of the engine."""

from collections.abc import Sequence

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)

revision: str = "documents_0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = "documents"
depends_on: str | Sequence[str] | None = "engine_0001"

ON_SQLITE = (
    """
    CREATE VIRTUAL TABLE document_words
    USING fts5(text, scope, content='document_chunks', content_rowid='id',
               tokenize='porter unicode61')
    """,
    """
    CREATE TRIGGER document_words_insert AFTER INSERT ON document_chunks BEGIN
        INSERT INTO document_words(rowid, text, scope) VALUES (new.id, new.text, new.scope);
    END
    """,
    """
    CREATE TRIGGER document_words_delete AFTER DELETE ON document_chunks BEGIN
        INSERT INTO document_words(document_words, rowid, text, scope)
        VALUES ('delete', old.id, old.text, old.scope);
    END
    """,
)
ON_POSTGRES = (
    """
    ALTER TABLE document_chunks ADD COLUMN document_words tsvector
    GENERATED ALWAYS AS (to_tsvector('english', text) || to_tsvector('simple', scope)) STORED
    """,
    "CREATE INDEX ix_document_words ON document_chunks USING gin (document_words)",
)
SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "vector_stores",
        Column("id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("name", Text),
        Column("description", Text),
        Column("metadata", LargeBinary, nullable=False),
        Column("space", String(300), nullable=False),
        Column("dimensions", Integer, nullable=False),
        Column("created_at", Double, nullable=False),
        Column("last_active_at", Double, nullable=False),
        Column("expires_days", Integer),
        Column("expires_at", Double),
        Column("deleted_at", Double),
        PrimaryKeyConstraint("id", name="pk_vector_stores"),
        ForeignKeyConstraint(["caller_id"], ["callers.id"], name="fk_vector_stores_caller_id"),
    )
    op.create_index("ix_vector_stores_caller", "vector_stores", ["caller_id", "id"])
    partial_index(
        "ix_vector_stores_expiry", "vector_stores", ["expires_at"], "expires_at IS NOT NULL"
    )
    op.create_table(
        "file_batches",
        Column("id", String(40), nullable=False),
        Column("store_id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("cancelled", Boolean, nullable=False, server_default=false()),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("id", name="pk_file_batches"),
        of_store("file_batches"),
    )
    op.create_index("ix_file_batches_store", "file_batches", ["store_id"])
    make_store_files()
    op.create_table(
        "document_chunks",
        Column("id", SERIAL, nullable=False),
        Column("store_file_id", String(40), nullable=False),
        Column("scope", String(40), nullable=False),
        Column("seq", Integer, nullable=False),
        Column("text", Text, nullable=False),
        Column("tokens", Integer, nullable=False),
        Column("repeated", Integer, nullable=False),
        Column("page", Integer),
        PrimaryKeyConstraint("id", name="pk_document_chunks"),
        UniqueConstraint("store_file_id", "seq", name="uq_document_chunks_store_file_id_seq"),
        of_file("document_chunks"),
    )
    index_words()
    op.create_table(
        "vector_pages",
        Column("id", SERIAL, nullable=False),
        Column("store_file_id", String(40), nullable=False),
        Column("space", String(300), nullable=False),
        Column("first", Integer, nullable=False),
        Column("count", Integer, nullable=False),
        Column("vectors", LargeBinary, nullable=False),
        PrimaryKeyConstraint("id", name="pk_vector_pages"),
        UniqueConstraint(
            "store_file_id", "space", "first", name="uq_vector_pages_store_file_id_space_first"
        ),
        of_file("vector_pages"),
        sqlite_autoincrement=True,
    )


def index_words() -> None:
    """Index the words of chunks: SQLite by FTS5 and triggers, PostgreSQL by a generated column."""
    on_sqlite = op.get_context().dialect.name == "sqlite"
    for statement in ON_SQLITE if on_sqlite else ON_POSTGRES:
        op.execute(statement)


def make_store_files() -> None:
    op.create_table(
        "store_files",
        Column("id", String(40), nullable=False),
        Column("store_id", String(40), nullable=False),
        Column("file_id", String(40), nullable=False),
        Column("caller_id", String(40), nullable=False),
        Column("batch_id", String(40)),
        Column("job_id", String(40), nullable=False),
        Column("filename", Text, nullable=False),
        Column("attributes", LargeBinary, nullable=False),
        Column("strategy", LargeBinary, nullable=False),
        Column("recipe", Text),
        Column("status", String(20), nullable=False),
        Column("error", LargeBinary),
        Column("chunks", Integer, nullable=False),
        Column("extracted", Boolean, nullable=False),
        Column("file_bytes", BigInteger, nullable=False),
        Column("usage_bytes", BigInteger, nullable=False),
        Column("created_at", Double, nullable=False),
        PrimaryKeyConstraint("id", name="pk_store_files"),
        UniqueConstraint("store_id", "file_id", name="uq_store_files_store_id_file_id"),
        of_store("store_files"),
    )
    op.create_index("ix_store_files_caller", "store_files", ["caller_id"])
    op.create_index("ix_store_files_file", "store_files", ["file_id"])
    conditions = {
        "batch": "batch_id IS NOT NULL",
        "unfinished": "status = 'in_progress'",
        "unused": "status IN ('cancelled', 'deleted', 'failed')",
    }
    for name, condition in conditions.items():
        columns = ["batch_id" if name == "batch" else "store_id", "id"]
        partial_index(f"ix_store_files_{name}", "store_files", columns, condition)


def partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    where = text(condition)
    op.create_index(name, table, columns, postgresql_where=where, sqlite_where=where)


def of_store(table: str) -> ForeignKeyConstraint:
    name = f"fk_{table}_store_id"
    return ForeignKeyConstraint(["store_id"], ["vector_stores.id"], name=name, ondelete="CASCADE")


def of_file(table: str) -> ForeignKeyConstraint:
    name = f"fk_{table}_store_file_id"
    return ForeignKeyConstraint(
        ["store_file_id"], ["store_files.id"], name=name, ondelete="CASCADE"
    )


def downgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TABLE document_words")
    for table in ("vector_pages", "document_chunks", "store_files", "file_batches"):
        op.drop_table(table)
    op.drop_table("vector_stores")
