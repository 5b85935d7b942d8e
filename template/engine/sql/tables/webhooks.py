"""Webhooks of callers, and the deliveries to them."""

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base, index_of

IN_FLIGHT = "status = 'pending' AND attempt > 0 AND last_error IS NULL"


class WebhookRow(Base):
    """A webhook of a caller. The secret is kept as it is, because every message is signed."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_caller", "caller_id", "id"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    name: Mapped[str] = mapped_column(String(100))
    url: Mapped[str] = mapped_column(Text)
    events: Mapped[list[str]]
    secret: Mapped[str] = mapped_column(String(100))
    previous_secret: Mapped[str | None] = mapped_column(String(100))
    previous_until: Mapped[float | None]
    created_at: Mapped[float]
    updated_at: Mapped[float]
    disabled_at: Mapped[float | None]


class WebhookDeliveryRow(Base):
    """A delivery in the transactional outbox: one event for one webhook, in its transaction.

    It is `pending`, `delivered` or `dead`. `attempt` counts tries and is the fencing token against
    late writers. While a try is in flight, `last_error` is None and `next_at` is when it counts as
    lost.
    """

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event", "subject_id"),
        index_of("status = 'pending'", "ix_webhook_deliveries_waiting", "webhook_id", "next_at"),
        index_of(IN_FLIGHT, "ix_webhook_deliveries_in_flight", "next_at"),
        index_of("status = 'dead'", "ix_webhook_deliveries_dead", "finished_at"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event: Mapped[str] = mapped_column(String(40))
    subject_id: Mapped[str] = mapped_column(String(40))
    payload: Mapped[bytes]
    status: Mapped[str] = mapped_column(String(20), default="pending")
    attempt: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    finished_at: Mapped[float | None]
