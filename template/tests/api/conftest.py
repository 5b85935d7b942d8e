"""What several tests of the API need."""

from collections.abc import Iterator

import pytest

from tests.batches import HoldBatch, holding_batches
from tests.service import Service, service


@pytest.fixture
def hold_batch() -> Iterator[HoldBatch]:
    """Makes running batches that the test works off itself."""
    with holding_batches() as hold:
        yield hold


@pytest.fixture(scope="module")
def prepared(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with tables whose process is the test itself."""
    with service(tmp_path_factory.mktemp("prepared"), redis_url) as ready:
        yield ready
