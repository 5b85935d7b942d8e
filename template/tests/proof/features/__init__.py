"""Features of the tests: the app finds their jobs as it finds those of `app/domain`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app import domain
from engine.jobs.jobs import jobs


@contextmanager
def features() -> Iterator[None]:
    """Let the app have the features of this folder."""
    folder = str(Path(__file__).parent)
    domain.__path__.append(folder)
    jobs.cache_clear()
    try:
        yield
    finally:
        domain.__path__.remove(folder)
        jobs.cache_clear()
