"""Chunks hold the whole text, keep to their size, and repeat the end of the one before."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.documents.extract.chunks import ChunkStrategy, Piece, pack_chunks
from tests.documents.reading import text_of

TEXTS = st.lists(st.text(alphabet="ab .\n!\u3002\u4f60\U0001f98a", max_size=300), max_size=20)
STRATEGIES = st.integers(4, 60).flatmap(
    lambda most: st.builds(ChunkStrategy, st.just(most), st.integers(0, most // 2))
)


def count(text: str) -> int:
    """Count a token for each two characters, and one for the rest."""
    return (len(text) + 1) // 2


@given(texts=TEXTS, strategy=STRATEGIES)
def test_no_text_is_lost_or_doubled(texts: list[str], strategy: ChunkStrategy) -> None:
    chunks = list(pack_chunks([Piece(text) for text in texts], strategy, count))
    assert text_of(chunks) == "".join(texts)


@given(texts=TEXTS, strategy=STRATEGIES)
def test_no_chunk_is_longer_than_it_may_be(texts: list[str], strategy: ChunkStrategy) -> None:
    chunks = list(pack_chunks([Piece(text) for text in texts], strategy, count))
    assert all(chunk.tokens <= strategy.max_tokens for chunk in chunks)


@given(texts=TEXTS, strategy=STRATEGIES)
def test_a_chunk_repeats_the_end_of_the_one_before(
    texts: list[str], strategy: ChunkStrategy
) -> None:
    chunks = list(pack_chunks([Piece(text) for text in texts], strategy, count))
    assert not chunks or chunks[0].repeated == 0
    for before, chunk in pairwise(chunks):
        repeated = chunk.text[: chunk.repeated]
        assert before.text.endswith(repeated)
        assert count(repeated) <= strategy.overlap
        assert len(chunk.text) > chunk.repeated


@given(texts=TEXTS, strategy=STRATEGIES, data=st.data())
def test_the_pieces_of_a_text_do_not_change_its_chunks(
    texts: list[str], strategy: ChunkStrategy, data: st.DataObject
) -> None:
    whole = "".join(texts)
    cut = data.draw(st.integers(0, len(whole)))
    once = list(pack_chunks([Piece(whole)], strategy, count))
    twice = list(pack_chunks([Piece(whole[:cut]), Piece(whole[cut:])], strategy, count))
    assert once == twice


def test_a_chunk_ends_with_a_sentence_where_there_is_one() -> None:
    text = "One two three. Four five six. Seven eight nine. Ten eleven twelve."
    chunks = list(pack_chunks([Piece(text)], ChunkStrategy(20, 0), count))
    assert [chunk.text for chunk in chunks] == [
        "One two three. Four five six. ",
        "Seven eight nine. Ten eleven twelve.",
    ]


def test_a_chunk_has_the_page_of_its_first_word() -> None:
    pieces = [Piece("One two. ", 1), Piece("Three four. ", 2), Piece("Five six. ", 3)]
    chunks = pack_chunks(pieces, ChunkStrategy(12, 0), count)
    assert [chunk.page for chunk in chunks] == [1, 3]


@pytest.mark.parametrize("lost", [0, 0xD800, 0xDFFF])
def test_characters_that_no_database_keeps_are_left_out(lost: int) -> None:
    chunks = pack_chunks([Piece(f"one{chr(lost)}two")], ChunkStrategy(100, 0), count)
    assert [chunk.text for chunk in chunks] == ["onetwo"]
