"""What several tests of the API need."""

from collections.abc import Iterator

import pytest

from tests.batches import HoldBatch, holding_batches


@pytest.fixture
def hold_batch() -> Iterator[HoldBatch]:
    """Makes running batches that the test works off itself."""
    with holding_batches() as hold:
        yield hold
