"""Vector stores of one caller: each function finds the store by its id and the caller's."""

import time
from collections.abc import Collection

import msgspec
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.documents import removal
from engine.documents.attached import attach_files
from engine.documents.listing import page_of_rows
from engine.documents.ownership import (
    find_store,
    find_usable_store,
    is_expired,
    touch_store,
)
from engine.documents.quotas import require_room_for_store
from engine.documents.schema import (
    DeletedStore,
    ExpiresAfter,
    FileCounts,
    NewStore,
    NewStoreFile,
    StorePageQuery,
    StoreUpdate,
    VectorStoreObject,
)
from engine.documents.space import Space
from engine.documents.tables import StoreFileRow, VectorStoreRow
from engine.jobs.jobs import DAY
from engine.models.wire import encode_json
from engine.settings.documents import OptionSettings
from engine.sql.pagination import Page
from engine.sql.statements import new_id
from engine.sql.tables import CallerRow


def create_store(
    session: Session,
    caller_id: str,
    new: NewStore,
    *,
    settings: OptionSettings,
    space: Space,
    request_id: str,
) -> VectorStoreObject:
    """Make a store with its first files.

    Raise `QuotaExceeded` where it is one too many, `NotFound` for a file that is not there.
    """
    require_room_for_store(session, caller_id, settings)
    at = time.time()
    row = VectorStoreRow(
        id=new_id("vs"),
        caller_id=caller_id,
        name=new.name,
        description=new.description,
        labels=encode_json(new.metadata),
        space=space.name,
        dimensions=space.dimensions,
        created_at=at,
        last_active_at=at,
    )
    _expire_after(row, new.expires_after)
    session.add(row)
    session.flush()
    wanted = [
        NewStoreFile(file_id=each, chunking_strategy=new.chunking_strategy) for each in new.file_ids
    ]
    attach_files(session, row, wanted, settings=settings, request_id=request_id)
    return show_store(session, row)


def get_store(session: Session, caller_id: str, store_id: str) -> VectorStoreObject:
    """Return a store."""
    return show_store(session, find_store(session, caller_id, store_id))


def page_of_stores(
    session: Session, caller_id: str, query: StorePageQuery
) -> Page[VectorStoreObject]:
    """Return a page of the caller's stores."""
    own = VectorStoreRow.caller_id == caller_id, VectorStoreRow.deleted_at.is_(None)
    rows, more = page_of_rows(session, VectorStoreRow, query, VectorStoreRow.id, *own)
    counts = counts_of_stores(session, [row.id for row in rows])
    return Page(
        data=[_object(row, *counts.get(row.id, (FileCounts(), 0))) for row in rows],
        first_id=rows[0].id if rows else None,
        last_id=rows[-1].id if rows else None,
        has_more=more,
    )


def update_store(
    session: Session, caller_id: str, store_id: str, update: StoreUpdate
) -> VectorStoreObject:
    """Change a store."""
    row = find_usable_store(session, caller_id, store_id)
    row.last_active_at = time.time()
    if "name" in update.model_fields_set:
        row.name = update.name
    if "metadata" in update.model_fields_set:
        row.labels = encode_json(update.metadata or {})
    if "expires_after" in update.model_fields_set:
        _expire_after(row, update.expires_after)
    touch_store(row)
    return show_store(session, row)


def delete_store(session: Session, caller_id: str, store_id: str, request_id: str) -> DeletedStore:
    """Delete a store: it is gone at once, and a job removes what was in it."""
    row = find_store(session, caller_id, store_id)
    row.deleted_at = time.time()
    removal.submit_removal(session, caller_id, store_id, request_id)
    return DeletedStore(id=store_id)


class ListedStore(BaseModel):
    """A vector store as operators see it."""

    id: str
    name: str | None
    caller: str
    files: int
    chunks: int
    space: str
    created_at: float


def list_stores(session: Session, limit: int) -> list[ListedStore]:
    """Return stores of all callers, the newest first."""
    store, file = VectorStoreRow, StoreFileRow
    there = (file.store_id == store.id) & (file.status != "deleted")
    sums = func.count(file.id), func.coalesce(func.sum(file.chunks), 0)
    columns = store.id, store.name, CallerRow.name, *sums, store.space, store.created_at
    found = session.execute(
        select(*columns)
        .join(CallerRow, CallerRow.id == store.caller_id)
        .outerjoin(file, there)
        .where(store.deleted_at.is_(None))
        .group_by(store.id, CallerRow.name)
        .order_by(store.id.desc())
        .limit(limit)
    )
    names = ListedStore.model_fields
    return [ListedStore(**dict(zip(names, row, strict=True))) for row in found]


def show_store(session: Session, row: VectorStoreRow) -> VectorStoreObject:
    """Return a store as its caller reads it."""
    return _object(row, *counts_of_stores(session, [row.id]).get(row.id, (FileCounts(), 0)))


def counts_of_stores(
    session: Session, store_ids: Collection[str]
) -> dict[str, tuple[FileCounts, int]]:
    """Return the numbers of files by their status, and their bytes, by store."""
    row = StoreFileRow
    sums = func.count(), func.coalesce(func.sum(row.usage_bytes), 0)
    found = session.execute(
        select(row.store_id, row.status, *sums)
        .where(row.store_id.in_(store_ids), row.status != "deleted")
        .group_by(row.store_id, row.status)
    ).all()
    counts: dict[str, tuple[FileCounts, int]] = {}
    for store_id, status, count, size in found:
        so_far, taken = counts.get(store_id, (FileCounts(), 0))
        setattr(so_far, status, count)
        so_far.total += count
        counts[store_id] = so_far, taken + int(size)
    return counts


def _expire_after(row: VectorStoreRow, wanted: ExpiresAfter | None) -> None:
    row.expires_days = wanted.days if wanted else None
    row.expires_at = row.last_active_at + wanted.days * DAY if wanted else None


def _object(row: VectorStoreRow, counts: FileCounts, usage_bytes: int) -> VectorStoreObject:
    days = row.expires_days
    state = "in_progress" if counts.in_progress else "completed"
    return VectorStoreObject(
        id=row.id,
        created_at=int(row.created_at),
        name=row.name or "",
        description=row.description,
        usage_bytes=usage_bytes,
        file_counts=counts,
        status="expired" if is_expired(row) else state,
        expires_after=ExpiresAfter(anchor="last_active_at", days=days) if days else None,
        expires_at=None if row.expires_at is None else int(row.expires_at),
        last_active_at=int(row.last_active_at),
        metadata=msgspec.json.decode(row.labels),
    )
