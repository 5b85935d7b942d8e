"""What all of the proof has: a marker."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Let a run leave out what is long: `-m "not thorough"`."""
    config.addinivalue_line("markers", "thorough: a case beside others of its kind")
