"""Ownership: each function of vector stores begins here, with the id of the caller."""

import time
from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from engine.documents.tables import VectorStoreRow
from engine.errors import InvalidRequest, NotFound
from engine.jobs.jobs import DAY


def find_store(session: Session, caller_id: str, store_id: str) -> VectorStoreRow:
    """Return a store's row; raise `NotFound` where this caller has none of that id."""
    row = session.get(VectorStoreRow, store_id)
    if row is None or row.caller_id != caller_id or row.deleted_at is not None:
        raise NotFound(f"There is no vector store {store_id}.", param="vector_store_id")
    return row


def stores_called(session: Session, caller_id: str, names: Sequence[str]) -> list[str]:
    """Return the ids of the caller's stores that have one of these names or ids, the newest first.

    Expired ones are left out.
    """
    row = VectorStoreRow
    named = or_(row.name.in_(names), row.id.in_(names))
    own = row.caller_id == caller_id, row.deleted_at.is_(None), named
    found = session.scalars(select(row).where(*own).order_by(row.id.desc())).all()
    return [each.id for each in found if not is_expired(each)]


def find_usable_store(session: Session, caller_id: str, store_id: str) -> VectorStoreRow:
    """Return a store's row; raise `InvalidRequest` too where the store has expired."""
    row = find_store(session, caller_id, store_id)
    if is_expired(row):
        message = f"The vector store {store_id} has expired. Make a new one."
        raise InvalidRequest(message, param="vector_store_id", code="vector_store_expired")
    return row


def is_expired(row: VectorStoreRow) -> bool:
    """Return whether a store was out of use for too long."""
    return row.expires_at is not None and row.expires_at < time.time()


def touch_store(row: VectorStoreRow) -> None:
    """Note that a store is in use."""
    row.last_active_at = time.time()
    if row.expires_days is not None:
        row.expires_at = row.last_active_at + row.expires_days * DAY
