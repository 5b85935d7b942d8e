"""A service with agents, on SQLite and on PostgreSQL."""

from collections.abc import Iterator

import httpx
import pytest

from tests.proof.agents.errands import agents
from tests.service import Service


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def idle(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The API, without a worker yet."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    folder = tmp_path_factory.mktemp("agents")
    with agents(folder, redis_url, url, webhook_private_addresses=True) as ready:
        ready.start("api")
        yield ready


@pytest.fixture
def place(idle: Service) -> Iterator[Service]:
    """The same with a worker; it and all that a test starts end with the test."""
    (idle.folder / "effects.txt").unlink(missing_ok=True)
    idle.start("worker")
    yield idle
    for program in idle.programs[1:]:
        program.stop()


@pytest.fixture
def http(idle: Service) -> Iterator[httpx.Client]:
    """A caller."""
    with idle.http(idle.new_key()) as client:
        yield client
