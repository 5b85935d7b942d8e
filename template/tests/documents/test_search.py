"""A search in a store: exact, of this store alone, on both databases the same."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.orm import Session

from engine.documents import search
from engine.documents.pages import read_pages
from engine.documents.removal import remove_piece
from engine.documents.search import Ranking, search_store
from engine.documents.space import embed_texts
from engine.documents.tables import StoreFileRow, VectorStoreRow
from engine.documents.words import ChunkKey, find_by_words
from engine.errors import InvalidRequest
from tests.documents.stocked import Stocked

pytestmark = pytest.mark.anyio

BY_VECTORS = Ranking(weights=(1.0, 0.0))


async def found(store: Stocked, query: str, ranking: Ranking | None = None) -> list[str]:
    """Return the texts that are found."""
    return [hit.text for hit in await search_store(store.model, store.id, [query], ranking=ranking)]


def numbered(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


async def by_brute_force(
    store: Stocked, texts: Sequence[str], query: str
) -> list[tuple[str, float]]:
    """Return the ten nearest texts with their cosines, computed one by one."""
    *vectors, wanted = await embed_texts(store.model, store.space, [*texts, query])
    cosines = [float(np.dot(vector, wanted)) for vector in vectors]
    return sorted(zip(texts, cosines, strict=True), key=lambda each: -each[1])[:10]


@pytest.mark.parametrize("query", ["first", "second", "third"])
async def test_vectors_find_what_brute_force_finds(stocked: Stocked, query: str) -> None:
    files = [numbered("long", 300), numbered("short", 5), numbered("full", 128)]
    for each in files:
        await stocked.add(*each)
    hits = await search_store(stocked.model, stocked.id, [query], ranking=BY_VECTORS)
    nearest = await by_brute_force(stocked, [text for each in files for text in each], query)
    assert [hit.text for hit in hits] == [each for each, _ in nearest]
    assert [hit.score for hit in hits] == pytest.approx([cosine for _, cosine in nearest])


async def test_pages_in_memory_find_the_same(stocked: Stocked) -> None:
    await stocked.add(*numbered("text", 200))
    assert await found(stocked, "query", BY_VECTORS) == await found(stocked, "query", BY_VECTORS)


async def test_a_page_of_a_removed_file_is_not_taken_for_a_new_one(stocked: Stocked) -> None:
    await stocked.add("old")
    await found(stocked, "new", BY_VECTORS)
    await stocked.resources.database.write(lambda session: session.execute(delete(StoreFileRow)))
    await stocked.add("new")
    (hit,) = await search_store(stocked.model, stocked.id, ["new"], ranking=BY_VECTORS)
    assert hit.score == pytest.approx(1.0)


async def test_words_find_what_vectors_do_not(stocked: Stocked) -> None:
    texts = numbered("text", 60)
    await stocked.add(*texts[:30], "The invoices are paid by Friday.", *texts[30:])
    query = "when is an invoice paid?"
    assert "The invoices are paid by Friday." in await found(stocked, query)
    assert "The invoices are paid by Friday." not in await found(stocked, query, BY_VECTORS)


async def test_a_hit_says_where_it_is_from(stocked: Stocked) -> None:
    file_id = await stocked.add("first", "second", attributes={"team": "red"})
    hit, _ = await search_store(stocked.model, stocked.id, ["second"])
    assert (hit.file_id, hit.filename) == (file_id, f"{file_id}.txt")
    assert (hit.attributes, hit.text, hit.seq, hit.page) == ({"team": "red"}, "second", 1, 1)
    assert hit.score == pytest.approx(1.0)


async def test_a_threshold_and_a_limit_leave_out_the_rest(stocked: Stocked) -> None:
    await stocked.add(*numbered("text", 20))
    assert await found(stocked, "text 3", Ranking(threshold=0.99)) == ["text 3"]
    assert len(await search_store(stocked.model, stocked.id, ["text 3"], most=7)) == 7


async def test_several_queries_are_one_search(stocked: Stocked) -> None:
    await stocked.add(*numbered("text", 600))
    queries = ["text 8", "text 77"]
    hits = await search_store(stocked.model, stocked.id, queries, ranking=BY_VECTORS)
    scores = {hit.text: hit.score for hit in hits}
    assert [scores[each] for each in queries] == pytest.approx([1.0, 1.0])


async def test_only_files_that_meet_the_filter_are_found(stocked: Stocked) -> None:
    await stocked.add("red fox", attributes={"colour": "red"})
    await stocked.add("blue fox", attributes={"colour": "blue"})
    wanted = {"type": "eq", "key": "colour", "value": "blue"}
    hits = await search_store(stocked.model, stocked.id, ["red fox"], filters=wanted)
    assert [hit.text for hit in hits] == ["blue fox"]


@pytest.mark.parametrize("status", ["in_progress", "failed", "cancelled", "deleted"])
async def test_only_completed_files_are_found(stocked: Stocked, status: str) -> None:
    await stocked.add("fox", status=status)
    assert await found(stocked, "fox") == []


async def test_a_store_without_files_finds_nothing(stocked: Stocked) -> None:
    assert await found(stocked, "fox") == []


async def test_a_store_that_has_expired_is_not_searched(stocked: Stocked) -> None:
    expired = update(VectorStoreRow).values(expires_at=time.time() - 1)
    await stocked.resources.database.write(lambda session: session.execute(expired))
    with pytest.raises(InvalidRequest, match="has expired"):
        await found(stocked, "fox")


async def test_a_query_is_embedded_again_where_its_store_has_got_another_space(
    stocked: Stocked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stocked.add("fox")
    before = replace(stocked.space, dimensions=64)
    monkeypatch.setattr(search, "space_of_store", lambda *_: before)
    (hit,) = await search_store(stocked.model, stocked.id, ["fox"])
    assert hit.score == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("ago", "noted"), [(2 * search.TOUCHED, True), (search.TOUCHED / 2, False)]
)
async def test_a_search_notes_now_and_then_that_its_store_is_in_use(
    stocked: Stocked, ago: float, *, noted: bool
) -> None:
    before = time.time() - ago
    await stocked.resources.database.write(used_at, before)
    await found(stocked, "fox")
    assert (await stocked.resources.database.read(last_use) > before) == noted


async def test_no_query_is_in_a_language_of_the_database(stocked: Stocked) -> None:
    await stocked.add("fox")
    odd = [
        '"',
        "NEAR(a b)",
        "a* OR -b:c",
        "___",
        "scope : x",
        "½ 犬",
        "'; --",
        "( & | !",
        "a" * 4096,
    ]
    for query in odd:
        assert await found(stocked, query) == ["fox"]


async def test_a_store_may_have_more_files_than_a_statement_has_values(stocked: Stocked) -> None:
    await stocked.add("fox")
    read, many = stocked.resources.database.read, 70_000
    (row_id,) = await read(lambda session: session.scalars(select(StoreFileRow.id)).all())
    files = [row_id, *map(str, range(many))]
    words = await read(find_by_words, stocked.id, files, "fox", rows=10, limit=10)
    assert words == [ChunkKey(row_id, 0)]
    pages = await read(read_pages, range(many), stocked.space.dimensions)
    assert len(pages) == 1


async def test_of_a_common_word_no_more_chunks_are_ranked_than_may_be(stocked: Stocked) -> None:
    await stocked.add(*numbered("fox", 5))
    read = stocked.resources.database.read
    (row_id,) = await read(lambda session: session.scalars(select(StoreFileRow.id)).all())
    found = [
        await read(find_by_words, stocked.id, [row_id], "foxes", rows=rows, limit=10)
        for rows in (2, 10)
    ]
    assert [len(each) for each in found] == [2, 5]


async def test_words_of_removed_files_are_gone(stocked: Stocked, strangers: Stocked) -> None:
    await stocked.add("red fox", "blue fox")
    await strangers.add("another fox")
    database = stocked.resources.database
    assert await database.write(count_words, "fox") == 3
    await database.write(hide_all, stocked.id)
    while await database.write(remove_piece, stocked.id):
        pass
    assert await database.write(count_words, "fox") == 1


def used_at(session: Session, moment: float) -> None:
    session.execute(update(VectorStoreRow).values(last_active_at=moment))


def last_use(session: Session) -> float:
    return session.scalars(select(VectorStoreRow.last_active_at)).one()


def hide_all(session: Session, store_id: str) -> None:
    own = StoreFileRow.store_id == store_id
    session.execute(update(StoreFileRow).where(own).values(status="deleted"))


def count_words(session: Session, word: str) -> int:
    """Return how many chunks the index of words has for a word; check the index against them."""
    if session.get_bind().dialect.name == "sqlite":
        check = "INSERT INTO document_words(document_words, rank) VALUES ('integrity-check', 1)"
        session.execute(text(check))
        counting = "SELECT count(*) FROM document_words WHERE document_words MATCH :word"
    else:
        counting = (
            "SELECT count(*) FROM document_chunks"
            " WHERE document_words @@ to_tsquery('english', :word)"
        )
    return int(session.scalar(text(counting), {"word": word}) or 0)
