"""Files that are attached while something else happens to them."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.batches.files import remove_file
from engine.documents import attached
from engine.documents.ingestion import INGEST
from engine.documents.removal import forget_deleted_file
from engine.documents.resource import documents_of
from engine.documents.schema import NewStoreFile, StoreFileObject
from engine.documents.tables import StoreFileRow
from engine.errors import NotFound
from engine.sql.tables import JobRow
from tests.documents.stocked import Stocked
from tests.documents.test_file_batches import add_files

pytestmark = pytest.mark.anyio

ROUNDS = 20


async def attach(store: Stocked, file_id: str) -> StoreFileObject:
    """Attach a file."""
    return await store.resources.database.write(
        attached.attach_file,
        store.caller_id,
        store.id,
        NewStoreFile(file_id=file_id),
        settings=documents_of(store.resources).settings,
        request_id="req_a",
    )


async def test_a_file_that_is_attached_by_many_at_once_is_there_once(stocked: Stocked) -> None:
    database = stocked.resources.database
    (file_id,) = await database.write(add_files, stocked.caller_id, 1)
    answers = await asyncio.gather(*(attach(stocked, file_id) for _ in range(8)))
    assert {each.id for each in answers} == {file_id}
    assert await database.read(count_of_files) == 1
    assert await database.read(count_of_jobs) == 1


async def test_a_file_that_is_deleted_as_it_is_attached_is_in_no_store(stocked: Stocked) -> None:
    database = stocked.resources.database
    forget = partial(remove_file, hooks=[forget_deleted_file])
    for file_id in await database.write(add_files, stocked.caller_id, ROUNDS):
        deleting = database.write(forget, stocked.caller_id, file_id)
        both = await asyncio.gather(attach(stocked, file_id), deleting, return_exceptions=True)
        assert not isinstance(both[1], BaseException)
        assert isinstance(both[0], StoreFileObject | NotFound)
        assert await database.read(count_of_files, file_id) == 0


async def test_the_text_of_a_file_is_shown_once_all_of_it_is_read(stocked: Stocked) -> None:
    file_ids = [await stocked.add("The fox", status=status) for status in ("failed", "completed")]
    parts = [await content(stocked, file_id) for file_id in file_ids]
    assert parts == [[], ["The fox"]]


async def content(store: Stocked, file_id: str) -> list[str]:
    """Return the text of a file, as it is shown."""
    where = store.caller_id, store.id, file_id
    parts = await store.resources.database.read(attached.content_after, *where, 0)
    return [part.text for part in parts]


def count_of_files(session: Session, file_id: str | None = None) -> int:
    statement = select(func.count()).select_from(StoreFileRow)
    if file_id is not None:
        statement = statement.where(StoreFileRow.file_id == file_id)
    return session.scalar(statement) or 0


def count_of_jobs(session: Session) -> int:
    return session.scalar(select(func.count()).where(JobRow.name == INGEST.name)) or 0
