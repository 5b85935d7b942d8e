"""A process without a worker, on each database, and its callers' stores."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from tests.documents.stocked import Stocked, stock
from tests.owing import add_caller


@pytest.fixture
async def resources(database_url: str, tmp_path: Path) -> AsyncIterator[Resources]:
    settings = Settings(
        _env_file=None,
        database_url=database_url,
        redis_url=f"unix://{tmp_path}/nobody.sock",
        model_provider="simulated",
        simulated_latency=0,
    )
    async with open_resources(settings) as opened:
        yield opened


@pytest.fixture
async def stocked(resources: Resources) -> Stocked:
    """A store of a caller, with nothing in it yet."""
    return await stock(resources, await resources.database.write(add_caller, "caller_a"))


@pytest.fixture
async def strangers(resources: Resources) -> Stocked:
    """A store of another caller."""
    return await stock(resources, await resources.database.write(add_caller, "caller_b"))
