"""The order of the proof, and servers in states that several folders need: away, frozen."""

import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.settings import Settings
from engine.process.offload import Offload
from engine.process.redis import open_redis
from engine.process.tokenizer import Tokenizer, open_tokenizer
from engine.slots import redis_semaphore
from engine.sql.database import Database, open_database
from tests.servers import EmbeddedRedis, running
from tests.tables import empty

LONGEST = (
    "agents/test_runs.py",
    "agents/test_mcp.py",
    "responses/test_background.py",
    "test_campaign.py",
    "agents/test_limits.py",
    "dev/test_supervisor.py",
    "test_mutants.py",
    "test_crash_points.py",
    "sql/test_migrations.py",
    "test_fairness.py",
    "test_broken_twins_grow.py",
    "proof/worker/",
    "test_flat_costs.py",
    "responses/test_contract.py",
    "test_overload.py",
    "test_lab.py",
    "doctor/test_command.py",
    "test_admission.py",
    "test_semaphore.py",
    "test_new_table.py",
    "api/test_health.py",
    "test_running_answers.py",
    "api/test_outages.py",
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


@pytest.fixture(autouse=True)
def warnings_are_heard() -> None:
    """Give each test the level of a new process: an app that ran in this one has left its own."""
    logging.root.setLevel(logging.WARNING)


@pytest.fixture(scope="module")
async def tokenizer() -> AsyncIterator[Tokenizer]:
    """A tokenizer for all tests of a module, whose event loop must be the module's too."""
    async with open_tokenizer(Offload(4, 1)) as opened:
        yield opened


@pytest.fixture
async def postgresql(postgres_tables_url: str) -> AsyncIterator[Database]:
    """A PostgreSQL database without rows."""
    await empty(postgres_tables_url)
    settings = Settings(_env_file=None, database_url=postgres_tables_url)
    async with open_database(settings) as opened:
        yield opened


@pytest.fixture
def frozen_redis_url() -> Iterator[str]:
    """A Redis that accepts connections and never answers."""
    with tempfile.TemporaryDirectory() as name, running(EmbeddedRedis(Path(name))) as server:
        server.freeze()
        yield server.url


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a report take long: a machine with much to do needs more than the 0.25 s for some.

    A process whose report is late takes Redis to be away, and has half of the slots to itself.
    """
    monkeypatch.setattr(redis_semaphore, "PATIENCE", 30.0)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with open_redis(Settings(_env_file=None, redis_url=redis_url)) as opened:
        yield opened


@pytest.fixture(params=["away", "frozen"])
async def silent_redis(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a server that is not there, then of one that hangs."""
    url = f"unix://{tmp_path}/nobody.sock"
    if request.param == "frozen":
        url = request.getfixturevalue("frozen_redis_url")
    async with open_redis(Settings(_env_file=None, redis_url=url)) as opened:
        yield opened
