"""Two short campaigns. `make chaos` has longer ones."""

import pytest

from tests.proof.chaos.campaign import run


@pytest.mark.timeout(300)  # `run` has limits of its own, which say what went wrong
@pytest.mark.parametrize(("seed", "database"), [(208, "sqlite"), (389, "postgresql")])
def test_nothing_is_lost_and_nothing_doubled(seed: int, database: str) -> None:
    assert run(seed, 1000, database) == []
