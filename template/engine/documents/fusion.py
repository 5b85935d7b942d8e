"""Reciprocal rank fusion: one order out of several, by ranks alone.

Cormack, Clarke and Buettcher, SIGIR 2009, with their k of 60.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

K = 60

T = TypeVar("T", bound=Hashable)


def fuse_ranks(rankings: Sequence[tuple[float, Sequence[T]]]) -> list[T]:
    """Return all things of these rankings, each with its weight, the best first.

    Of two with the same sum the one comes first that an earlier ranking has first.
    """
    sums: dict[T, float] = defaultdict(float)
    for weight, ranking in rankings:
        for rank, thing in enumerate(ranking, 1):
            sums[thing] += weight / (K + rank)
    return sorted(sums, key=sums.__getitem__, reverse=True)
