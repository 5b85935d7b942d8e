"""Batches of files: attached to a store together, followed and cancelled together."""

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.documents import ownership, removal
from engine.documents.attached import attach_files, page_of_store_files
from engine.documents.schema import (
    FileBatchObject,
    FileCounts,
    NewFileBatch,
    StoreFileObject,
    StoreFilePageQuery,
)
from engine.documents.tables import FileBatchRow, StoreFileRow
from engine.errors import NotFound
from engine.settings.documents import OptionSettings
from engine.sql.pagination import Page
from engine.sql.statements import new_id


def create_file_batch(
    session: Session,
    caller_id: str,
    store_id: str,
    new: NewFileBatch,
    *,
    settings: OptionSettings,
    request_id: str,
) -> FileBatchObject:
    """Attach files together. Those that are in the store already are counted with them."""
    store = ownership.find_usable_store(session, caller_id, store_id)
    row = FileBatchRow(
        id=new_id("vsfb"), store_id=store_id, caller_id=caller_id, created_at=time.time()
    )
    session.add(row)
    session.flush()
    attach_files(
        session, store, new.wanted, settings=settings, request_id=request_id, batch_id=row.id
    )
    return _object(session, row)


def get_file_batch(
    session: Session, caller_id: str, store_id: str, batch_id: str
) -> FileBatchObject:
    """Return a batch of files."""
    return _object(session, _found(session, caller_id, store_id, batch_id))


def cancel_file_batch(
    session: Session, caller_id: str, store_id: str, batch_id: str, request_id: str
) -> FileBatchObject:
    """Cancel the files of a batch that are not ingested yet; one that has ended stays as it is."""
    row = _found(session, caller_id, store_id, batch_id)
    if removal.give_up_batch(session, batch_id):
        row.cancelled = True
        removal.submit_removal(session, caller_id, store_id, request_id)
    session.flush()
    return _object(session, row)


def page_of_batch_files(
    session: Session, caller_id: str, store_id: str, batch_id: str, query: StoreFilePageQuery
) -> Page[StoreFileObject]:
    """Return a page of the files of a batch."""
    _found(session, caller_id, store_id, batch_id)
    return page_of_store_files(session, caller_id, store_id, query, batch_id)


def _found(session: Session, caller_id: str, store_id: str, batch_id: str) -> FileBatchRow:
    ownership.find_store(session, caller_id, store_id)
    row = session.get(FileBatchRow, batch_id)
    if row is None or row.store_id != store_id:
        message = f"There is no batch {batch_id} in the vector store {store_id}."
        raise NotFound(message, param="batch_id")
    return row


def _object(session: Session, row: FileBatchRow) -> FileBatchObject:
    file = StoreFileRow
    found = session.execute(
        select(file.status, func.count())
        .where(file.batch_id == row.id, file.status != "deleted")
        .group_by(file.status)
    ).all()
    counts = FileCounts(total=sum(row[1] for row in found))
    for file_status, count in found:
        setattr(counts, file_status, count)
    status = "in_progress" if counts.in_progress else "completed"
    return FileBatchObject(
        id=row.id,
        created_at=int(row.created_at),
        vector_store_id=row.store_id,
        status="cancelled" if row.cancelled else status,
        file_counts=counts,
    )
