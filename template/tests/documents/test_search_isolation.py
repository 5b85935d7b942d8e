"""No search reads what is not of its store; a search with that bug is noticed."""

import msgspec
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.documents import ownership, search
from engine.documents.filters import FileFilter
from engine.documents.pages import PagePlace
from engine.documents.search import Ranking, SearchedFile, search_store
from engine.documents.tables import StoreFileRow, VectorPageRow, VectorStoreRow
from engine.errors import NotFound
from engine.resources import model_for
from tests.documents.stocked import Stocked, stock

pytestmark = pytest.mark.anyio

RANKINGS = [
    pytest.param(Ranking(), id="both"),
    pytest.param(Ranking(weights=(1.0, 0.0)), id="vectors"),
    pytest.param(Ranking(weights=(0.0, 1.0)), id="words"),
]


def store_of_anyone(session: Session, _caller_id: str, store_id: str) -> VectorStoreRow:
    """A twin that finds a store without its caller."""
    return session.get_one(VectorStoreRow, store_id)


def files_of_anyone(
    session: Session, _store: VectorStoreRow, _wanted: FileFilter | None
) -> dict[str, SearchedFile]:
    """A twin that finds files without their store."""
    return {
        row.id: SearchedFile(row.file_id, row.filename, msgspec.json.decode(row.attributes))
        for row in session.scalars(select(StoreFileRow))
    }


def pages_of_anyone(session: Session, *_: object) -> list[PagePlace]:
    """A twin that finds pages without their store."""
    rows = session.scalars(select(VectorPageRow))
    return [PagePlace(row.id, row.store_file_id, row.first) for row in rows]


async def reads_of_strangers(mine: Stocked, other: Stocked, ranking: Ranking) -> bool:
    """Return whether a search in one store finds a text of the other, or the other store."""
    await mine.add("my own fox")
    await other.add("a secret fox")
    model = model_for(mine.resources, mine.caller_id)
    hits = await search_store(model, mine.id, ["a secret fox"], ranking=ranking)
    try:
        hits += await search_store(model, other.id, ["a secret fox"], ranking=ranking)
    except NotFound:
        return any("secret" in hit.text for hit in hits)
    return True


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_search_finds_nothing_of_another_caller(
    stocked: Stocked, strangers: Stocked, ranking: Ranking
) -> None:
    assert not await reads_of_strangers(stocked, strangers, ranking)


@pytest.mark.parametrize("ranking", RANKINGS)
async def test_a_search_finds_nothing_of_another_store_of_its_caller(
    stocked: Stocked, ranking: Ranking
) -> None:
    other = await stock(stocked.resources, stocked.caller_id)
    await other.add("a secret fox")
    await stocked.add("my own fox")
    hits = await search_store(stocked.model, stocked.id, ["a secret fox"], ranking=ranking)
    assert [hit.text for hit in hits] == ["my own fox"]


async def test_a_twin_that_finds_a_store_without_its_caller_is_noticed(
    stocked: Stocked, strangers: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "find_usable_store", store_of_anyone)
    monkeypatch.setattr(ownership, "find_store", store_of_anyone)
    assert await reads_of_strangers(stocked, strangers, Ranking())


async def test_a_twin_that_reads_without_the_store_is_noticed(
    stocked: Stocked, strangers: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_files", files_of_anyone)
    monkeypatch.setattr(search, "_places", pages_of_anyone)
    assert await reads_of_strangers(stocked, strangers, Ranking())


async def test_words_of_another_store_are_not_found_by_an_index_without_it(
    stocked: Stocked, strangers: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_files", files_of_anyone)
    assert not await reads_of_strangers(stocked, strangers, Ranking(weights=(0.0, 1.0)))
