"""The wait before another try grows, has an end, and is never the same for two."""

import pytest

from engine.process.backoff import backoff


@pytest.mark.parametrize(("tries", "whole"), [(0, 1.0), (3, 8.0), (10, 60.0), (100_000, 60.0)])
def test_the_wait_doubles_up_to_its_longest(tries: int, whole: float) -> None:
    waits = {backoff(tries, 1.0, 60.0) for _ in range(100)}
    assert whole / 2 <= min(waits) < max(waits) <= whole
