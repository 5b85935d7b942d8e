"""Twins of the engine that lack what makes each effect happen once: the same proof turns red."""

from pathlib import Path

import pytest

from tests.proof.agents.test_crash_points import check_crash, place_of_runs
from tests.proof.worker.crashing import Point

TWINS = Path(__file__).parent / "twins"


@pytest.mark.parametrize(
    ("twin", "point"),
    [
        ("new_key", Point("steps.end_call", "before")),
        ("two_transactions", Point("steps.keep_plan", "after")),
    ],
)
def test_a_broken_twin_is_noticed(redis_url: str, tmp_path: Path, twin: str, point: Point) -> None:
    with (
        place_of_runs(tmp_path, redis_url, modules=TWINS / twin) as site,
        pytest.raises(AssertionError, match="not the same"),
    ):
        check_crash(site, point)
