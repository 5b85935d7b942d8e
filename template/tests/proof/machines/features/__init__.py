"""Features of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.features import JOBS
from tests.proof.machines.features import counting, greeting


@contextmanager
def features() -> Iterator[None]:
    """Let the app have the jobs of this folder."""
    JOBS.extend([counting.JOB, greeting.JOB])
    try:
        yield
    finally:
        JOBS.remove(counting.JOB)
        JOBS.remove(greeting.JOB)
