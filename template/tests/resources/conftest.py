"""A Redis server of one test's own, so that the test may freeze it."""

import os
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.development import valkey
from app.resources.redis import open_redis
from app.settings import Settings
from tests.service import eventually


@pytest.fixture
def frozen_redis_url() -> Iterator[str]:
    """A Redis that accepts connections and never answers."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "redis.sock")
        server = subprocess.Popen(
            valkey.command(valkey.find_server(), Path(name), path), stdout=subprocess.DEVNULL
        )
        try:
            eventually(path.exists)
            os.kill(server.pid, signal.SIGSTOP)
            yield f"unix://{path}"
        finally:
            server.kill()
            server.wait(10)


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
