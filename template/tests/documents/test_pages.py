"""Pages in memory keep within their bytes, and cosines are those of numpy."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.documents.pages import PageCache, PagePlace, Similarities
from engine.documents.space import Vectors
from engine.documents.words import ChunkKey

SIZE = 4
PAGE = 4 * SIZE
"""Bytes of a page of one vector."""


def page(value: float = 0.0, count: int = 1) -> Vectors:
    return np.full((count, SIZE), value, dtype=np.float32)


def test_the_least_recently_used_page_goes_first() -> None:
    cache = PageCache(2 * PAGE)
    cache.keep({1: page(), 2: page()})
    cache.keep({1: page()})
    cache.keep({3: page()})
    assert set(cache.all()) == {1, 3}


@given(st.lists(st.dictionaries(st.integers(0, 9), st.integers(1, 5), max_size=6), max_size=12))
def test_pages_keep_within_their_bytes(searches: list[dict[int, int]]) -> None:
    cache = PageCache(8 * PAGE)
    for sizes in searches:
        known = cache.all()
        cache.keep({each: known.get(each, page(count=count)) for each, count in sizes.items()})
        assert cache.bytes == sum(each.nbytes for each in cache.all().values()) <= 8 * PAGE


def test_without_memory_no_page_is_kept() -> None:
    cache = PageCache(0)
    cache.keep({1: page()})
    assert cache.all() == {}
    assert cache.bytes == 0


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
)
def test_the_best_are_those_of_a_sort(counts: list[int], most: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    pages = {
        at: chance.integers(-1, 2, (count, SIZE)).astype(np.float32)  # so that many are alike
        for at, count in enumerate(counts)
    }
    places = [PagePlace(at, f"file {at}", 0) for at in pages]
    query = np.ones(SIZE, dtype=np.float32)
    keys = [ChunkKey(f"file {at}", seq) for at, count in enumerate(counts) for seq in range(count)]
    scores = [float(pages[int(key.store_file_id[5:])][key.seq] @ query) for key in keys]
    nearest = sorted(range(len(keys)), key=lambda at: -scores[at])[:most]
    assert Similarities(places, pages, query).best(most) == [keys[at] for at in nearest]


def test_a_chunk_without_a_vector_has_no_similarity() -> None:
    similar = Similarities([PagePlace(1, "file", 0)], {1: page(1.0)}, page(1.0)[0])
    assert similar.of(ChunkKey("file", 0), 128) == SIZE
    assert similar.of(ChunkKey("file", 1), 128) == 0.0
    assert similar.of(ChunkKey("other", 0), 128) == 0.0
