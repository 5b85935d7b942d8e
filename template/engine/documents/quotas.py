"""Quotas: what one caller may have in all vector stores."""

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from engine.documents.tables import StoreFileRow, VectorStoreRow
from engine.errors import RateLimited
from engine.settings.documents import OptionSettings
from engine.sql.tables import CallerRow

EXCEEDED = "You may have {most} {things}. Delete some first."


class QuotaExceeded(RateLimited):
    """The caller has as much as one may have: a later try ends the same."""

    code = "quota_exceeded"
    retry_after = None

    def __init__(self, most: int, things: str) -> None:
        super().__init__(EXCEEDED.format(most=most, things=things))


def require_room_for_store(session: Session, caller_id: str, settings: OptionSettings) -> None:
    """Raise `QuotaExceeded` where the caller may have no other store."""
    _take_turns(session, caller_id)
    count = session.scalar(select(func.count()).select_from(_stores(caller_id).subquery())) or 0
    if count >= settings.vector_stores_per_caller:
        raise QuotaExceeded(settings.vector_stores_per_caller, "vector stores")


def require_room_for_files(
    session: Session, caller_id: str, settings: OptionSettings, files: int, size: int
) -> None:
    """Raise `QuotaExceeded` where so many files of `size` bytes are too many."""
    _take_turns(session, caller_id)
    count, taken = _sums(session, caller_id, func.count(), func.sum(StoreFileRow.file_bytes))
    if count + files > settings.document_files_per_caller:
        raise QuotaExceeded(settings.document_files_per_caller, "files in vector stores")
    if taken + size > settings.document_bytes_per_caller:
        raise QuotaExceeded(settings.document_bytes_per_caller, "bytes in vector stores")


def chunks_of(session: Session, caller_id: str) -> int:
    """Return how many chunks the caller has in all vector stores."""
    return _sums(session, caller_id, func.sum(StoreFileRow.chunks))[0]


def _take_turns(session: Session, caller_id: str) -> None:
    """Let requests of one caller count one after another; work that refers to it goes on."""
    session.get_one(CallerRow, caller_id, with_for_update={"key_share": True})


def _sums(session: Session, caller_id: str, *sums: ColumnElement[int]) -> list[int]:
    there = StoreFileRow.status != "deleted", StoreFileRow.store_id.in_(_stores(caller_id))
    own = StoreFileRow.caller_id == caller_id, *there
    row = session.execute(select(*sums).select_from(StoreFileRow).where(*own)).one()
    return [int(each or 0) for each in row]


def _stores(caller_id: str) -> Select[str]:
    """Return the ids of the caller's stores: one that is deleted takes no room, full as it is."""
    own = VectorStoreRow.caller_id == caller_id, VectorStoreRow.deleted_at.is_(None)
    return select(VectorStoreRow.id).where(*own)
