"""Short campaigns. `make chaos` has longer ones."""

import pytest

from tests.proof.chaos import agent_campaign
from tests.proof.chaos.campaign import run
from tests.proof.thorough import one_of_each


@pytest.mark.timeout(300)  # `run` has limits of its own, which say what went wrong
@pytest.mark.parametrize(("seed", "database"), [(208, "sqlite"), (389, "postgresql")])
def test_nothing_is_lost_and_nothing_doubled(seed: int, database: str) -> None:
    assert run(seed, 1000, database) == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("seed", "database"), one_of_each([(1, "sqlite"), (1, "postgresql")], lambda _: "database")
)
def test_agents_have_each_effect_once(seed: int, database: str) -> None:
    assert agent_campaign.run(seed, 3, database) == []
