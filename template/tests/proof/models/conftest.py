"""One event loop for each module, so that a model is loaded once."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from engine.process.http import open_upstream_session
from tests.proof.models.asking import settings


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[ClientSession]:
    async with open_upstream_session(settings()) as opened:
        yield opened
