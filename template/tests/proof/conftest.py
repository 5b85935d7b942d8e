"""What all of the proof has: a marker, and an order."""

import pytest

LONGEST = (
    "test_everything.py",
    "test_campaign.py",
    "test_crash_points.py",
    "test_mutants.py",
    "proof/jobs/",
    "test_flat_costs.py",
    "test_overload.py",
    "test_rolling_restart.py",
)
"""What takes longest, the longest first: none of it shall be left for one process alone."""


def pytest_configure(config: pytest.Config) -> None:
    """Let a run leave out what is long: `-m "not thorough"`."""
    config.addinivalue_line("markers", "thorough: a case beside others of its kind")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest; `--no-loadscope-reorder` lets xdist keep to that."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    places = (place for place, part in enumerate(LONGEST) if part in item.nodeid)
    return next(places, len(LONGEST))
