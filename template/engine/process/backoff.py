"""Exponential backoff with jitter: the wait before each retry of this service."""

import random

MOST_DOUBLINGS = 64
"""A float bears 1,023: a Redis that stays away for nine hours reached that."""


def backoff(tries: int, first: float, longest: float) -> float:
    """Return the seconds before the next try after so many failed `tries`.

    They double from `first` up to `longest`. A random half of them keeps clients out of step
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/, "equal jitter").
    """
    whole = min(longest, first * 2.0 ** min(tries, MOST_DOUBLINGS))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 -- no secret
