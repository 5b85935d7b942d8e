"""Idempotency keys: requests with one `Idempotency-Key` create once and get one answer.

The rules are in draft-ietf-httpapi-idempotency-key-header-07. The new rows, the key and the answer
are committed together, so a process that dies leaves either all of them or nothing: no
mark of a request in progress, which only a time limit could remove. A second request with the key
of one that is still at work waits for its commit, for `PATIENCE` at most.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from engine.errors import Conflict, KeyReused
from engine.sql.tables import IdempotencyRow

PATIENCE = "500ms"
"""Longest wait on PostgreSQL for another request with the same key: it holds a connection."""

LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's code for a wait that took longer than `PATIENCE`

# The same text for SQLite and PostgreSQL: SQLAlchemy's constructs for it differ.
CLAIM = text("""
    INSERT INTO idempotency_keys (caller_id, key, fingerprint, created_at)
    VALUES (:caller_id, :key, :fingerprint, :now)
    ON CONFLICT (caller_id, key) DO UPDATE SET
        fingerprint = excluded.fingerprint, answer = NULL, created_at = excluded.created_at
    WHERE idempotency_keys.created_at < :forgotten
    RETURNING key
""")


@dataclass(frozen=True, slots=True)
class Keyed:
    """A key, the fingerprint of the request that it came with, and how long both are remembered."""

    key: str
    fingerprint: bytes
    seconds: float


def create_once(
    session: Session, caller_id: str, keyed: Keyed, create: Callable[[Session, str], bytes]
) -> bytes:
    """Return `create(session, caller_id)`, or its result from when the same request came before.

    Raise `KeyReused` where the key came with another request, and `Conflict` with a time to come
    back where the first request is still at work. An error of `create` is not remembered.
    """
    new = _claim(session, caller_id, keyed)
    row = session.get_one(IdempotencyRow, (caller_id, keyed.key))
    if new:
        row.answer = create(session, caller_id)
    if row.fingerprint != keyed.fingerprint:
        raise KeyReused("This Idempotency-Key came with another request: use a new one for each.")
    return row.answer or b""


def _claim(session: Session, caller_id: str, keyed: Keyed) -> bool:
    on_postgres = session.get_bind().dialect.name == "postgresql"
    if on_postgres:
        session.execute(text(f"SET LOCAL lock_timeout = '{PATIENCE}'"))
    now = time.time()
    values = {
        "caller_id": caller_id,
        "key": keyed.key,
        "fingerprint": keyed.fingerprint,
        "now": now,
        "forgotten": now - keyed.seconds,
    }
    try:
        new = session.execute(CLAIM, values).first() is not None
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
        message = "A request with this Idempotency-Key is still at work: ask again."
        raise Conflict(message, code="idempotency_in_progress", retry_after=1.0) from error
    if on_postgres:
        session.execute(text("SET LOCAL lock_timeout TO DEFAULT"))
    return new
