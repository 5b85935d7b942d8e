"""The worker processes."""

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base


class WorkerRow(Base):
    """A worker process, only for operators to see: leases, not this row, say which worker works."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int]
    started_at: Mapped[float]
    seen_at: Mapped[float]
