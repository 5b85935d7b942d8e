"""API keys: made once, shown once, stored only as a hash."""

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.callers import fairness
from engine.errors import InvalidRequest, NotFound
from engine.sql.statements import new_id
from engine.sql.tables import ApiKeyRow, CallerRow

PREFIX = "sk-"
NO_HASH = bytes(32)
LEAST_WEIGHT, MOST_WEIGHT = 0.001, 1000.0


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, with its rate limit and feature flags."""

    id: str
    name: str
    requests_per_minute: int | None
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key as it may be shown."""

    id: str
    caller: str
    created_at: float
    revoked_at: float | None
    requests_per_minute: int | None
    flags: list[str]
    weight: float
    priority: int


def create_key(
    session: Session,
    name: str,
    *,
    requests_per_minute: int | None = None,
    flags: Collection[str] = (),
    weight: float | None = None,
    priority: int | None = None,
) -> str:
    """Return a new key of the caller `name`, which is made where there is none of that name.

    Limits, flags and shares belong to the caller: given ones hold for all its keys. Raise
    `InvalidRequest` for a weight that is out of bounds.
    """
    caller = session.scalar(select(CallerRow).where(CallerRow.name == name))
    if caller is None:
        caller = CallerRow(id=new_id("caller"), name=name, flags=[], created_at=time.time())
        session.add(caller)
        session.flush()
    caller.requests_per_minute = requests_per_minute or caller.requests_per_minute
    caller.flags = sorted(flags) or caller.flags
    _share(session, caller, weight, priority)
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    session.add(
        ApiKeyRow(id=key_id, caller_id=caller.id, hash=_hash(secret), created_at=time.time())
    )
    return f"{PREFIX}{key_id}-{secret}"


def list_keys(session: Session) -> list[KeyInfo]:
    """Return all keys, oldest first."""
    rows = session.execute(
        select(ApiKeyRow, CallerRow)
        .join(CallerRow, CallerRow.id == ApiKeyRow.caller_id)
        .order_by(ApiKeyRow.created_at)
    )
    return [
        KeyInfo(
            id=key.id,
            caller=caller.name,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
            requests_per_minute=caller.requests_per_minute,
            flags=caller.flags,
            weight=caller.weight,
            priority=caller.priority,
        )
        for key, caller in rows
    ]


def revoke_key(session: Session, key_id: str) -> None:
    """End a key for good. Raise `NotFound` where there is none of that id."""
    key = session.get(ApiKeyRow, key_id)
    if key is None:
        raise NotFound(f"There is no key {key_id}: `app keys list` shows them.")
    key.revoked_at = key.revoked_at or time.time()


def find_caller(session: Session, key: str) -> Caller | None:
    """Return the caller of a live key, or None.

    SHA-256 without salt or stretching is enough for 256 random bits. Unknown and known ids take
    the same comparison, so that time tells nothing.
    """
    if not key.startswith(PREFIX):
        return None
    key_id, _, secret = key.removeprefix(PREFIX).partition("-")
    row = session.get(ApiKeyRow, key_id)
    known = hmac.compare_digest(_hash(secret), row.hash if row else NO_HASH)
    if row is None or not known or row.revoked_at is not None:
        return None
    caller = session.get_one(CallerRow, row.caller_id)
    return Caller(caller.id, caller.name, caller.requests_per_minute, frozenset(caller.flags))


def _share(session: Session, caller: CallerRow, weight: float | None, priority: int | None) -> None:
    if weight is not None:
        if not LEAST_WEIGHT <= weight <= MOST_WEIGHT:
            raise InvalidRequest(f"A weight is from {LEAST_WEIGHT:g} to {MOST_WEIGHT:g}.")
        caller.weight = weight
    if priority is not None and priority != caller.priority:
        # Its virtual time among callers of another priority says nothing among these.
        caller.priority, caller.virtual_time = priority, 0.0
        session.flush()
        fairness.catch_up(session, caller.id)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
