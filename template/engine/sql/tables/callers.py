"""Callers, their API keys, their usage and their idempotency keys."""

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from engine.sql.tables.registry import Base


class CallerRow(Base):
    """A caller of the API, with the limits and features of all its keys.

    `virtual_time` is the cost of its batches so far, divided by its `weight`; see `fairness.py`.
    A caller with a higher `priority` goes before all callers with a lower one.
    """

    __tablename__ = "callers"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), unique=True)
    requests_per_minute: Mapped[int | None]
    flags: Mapped[list[str]]
    created_at: Mapped[float]
    weight: Mapped[float] = mapped_column(default=1.0)
    priority: Mapped[int] = mapped_column(default=0)
    virtual_time: Mapped[float] = mapped_column(default=0.0)


class ApiKeyRow(Base):
    """A key of a caller. The key itself is nowhere: `hash` is its SHA-256."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"))
    hash: Mapped[bytes]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class UsageRow(Base):
    """Tokens of a caller, summed by day and model."""

    __tablename__ = "usage"

    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"), primary_key=True)
    day: Mapped[str] = mapped_column(String(10), primary_key=True)
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)


class IdempotencyRow(Base):
    """The stored answer to a request with an `Idempotency-Key`, which answers its repetitions.

    `answer` is None while the first such request is still at work.
    """

    __tablename__ = "idempotency_keys"

    caller_id: Mapped[str] = mapped_column(ForeignKey("callers.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[bytes]
    answer: Mapped[bytes | None]
    created_at: Mapped[float]
