"""Pages of vectors: kept in memory by their ids, compared with a query exactly.

A page never changes once it is written, and each search gets its ids from SQL, under the caller
and the filters: so the cache can neither be stale nor show another caller's.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from engine.documents.space import Vectors
from engine.documents.tables import VectorPageRow
from engine.documents.words import ChunkKey


class PagePlace(NamedTuple):
    """A page: its id, its file in a store, and the position of its first chunk."""

    id: int
    store_file_id: str
    first: int


class PageCache:
    """Keeps pages up to so many bytes; the least recently used go first."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._pages: OrderedDict[int, Vectors] = OrderedDict()
        self.bytes = 0

    def all(self) -> dict[int, Vectors]:
        """Return the pages that are in memory, for a reader in another thread."""
        return dict(self._pages)

    def keep(self, pages: Mapping[int, Vectors]) -> None:
        """Keep pages that have just been used, and let others go for them."""
        for page_id, vectors in pages.items():
            if page_id not in self._pages:
                self.bytes += vectors.nbytes
            self._pages[page_id] = vectors
            self._pages.move_to_end(page_id)
        while self.bytes > self._most:
            _, gone = self._pages.popitem(last=False)
            self.bytes -= gone.nbytes


READ = 64
"""Pages that one statement reads: 8 MiB at 256 dimensions, of which PostgreSQL's rows are made on
the event loop. 800 at once let other requests wait for up to 370 ms on a busy machine."""


def read_pages(session: Session, ids: Sequence[int], dimensions: int) -> dict[int, Vectors]:
    """Return the vectors of pages, one a row."""
    row = VectorPageRow
    pages = {}
    for at in range(0, len(ids), READ):
        some = row.id.in_(ids[at : at + READ])
        for page_id, data in session.execute(select(row.id, row.vectors).where(some)):
            pages[page_id] = np.frombuffer(data, dtype="<f4").reshape(-1, dimensions)
    return pages


class Similarities:
    """Cosines of the chunks of these pages with one query."""

    def __init__(
        self, places: Sequence[PagePlace], pages: Mapping[int, Vectors], query: Vectors
    ) -> None:
        self._scores = [pages[place.id] @ query for place in places]
        self._places = places
        self._by_file = {(place.store_file_id, place.first): at for at, place in enumerate(places)}

    def best(self, most: int) -> list[ChunkKey]:
        """Return the nearest chunks, the nearest first; of two alike the earlier one."""
        if not self._scores:
            return []
        scores = np.concatenate(self._scores)
        starts = np.cumsum([0, *(len(each) for each in self._scores)])
        if len(scores) > most:
            least = np.partition(scores, -most)[-most]
            candidates = np.flatnonzero(scores >= least)
        else:
            candidates = np.arange(len(scores))
        ranked = candidates[np.argsort(-scores[candidates], kind="stable")][:most]
        pages = np.searchsorted(starts, ranked, side="right") - 1
        return [
            self._key(int(page), int(at - starts[page]))
            for at, page in zip(ranked, pages, strict=True)
        ]

    def of(self, key: ChunkKey, size: int) -> float:
        """Return the cosine of a chunk; pages have `size` chunks. 0 where it has no vector."""
        at = self._by_file.get((key.store_file_id, key.seq - key.seq % size))
        if at is None or key.seq % size >= len(self._scores[at]):
            return 0.0
        return float(self._scores[at][key.seq % size])

    def _key(self, page: int, row: int) -> ChunkKey:
        place = self._places[page]
        return ChunkKey(place.store_file_id, place.first + row)
