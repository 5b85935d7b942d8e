"""One event loop for each module, so that a model is loaded once."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession

from engine.process.http import open_upstream_session
from engine.process.offload import Offload
from engine.process.tokenizer import Tokenizer, open_tokenizer
from tests.proof.models.asking import settings


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def tokenizer() -> AsyncIterator[Tokenizer]:
    async with open_tokenizer(Offload(4, 1)) as opened:
        yield opened


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[ClientSession]:
    async with open_upstream_session(settings()) as opened:
        yield opened
