"""Two API processes behind nginx are restarted, one after the other, under load."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from openai import AsyncOpenAI

from tests.lines import chat_body
from tests.servers import Nginx, running
from tests.service import Program, Service, free_port, service

CLIENTS = 12
TOKENS = 20


class Load:
    """Clients that ask and never try again, half of them for streams."""

    def __init__(self, url: str, key: str) -> None:
        self.outcomes: Counter[str] = Counter()
        self._client = AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        self._over = False

    async def __aenter__(self) -> Self:
        self._clients = [
            asyncio.create_task(self._ask(streamed=n % 2 == 0)) for n in range(CLIENTS)
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._clients)
        await self._client.close()

    async def more(self) -> None:
        """Return when each client has had answers to questions that it asks from now on."""
        enough = self.outcomes.total() + 3 * CLIENTS
        async with asyncio.timeout(60):
            while self.outcomes.total() < enough:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _ask(self, *, streamed: bool) -> None:
        while not self._over:
            try:
                outcome = await (self._stream() if streamed else self._whole())
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is a failed request
                outcome = f"{'streamed' if streamed else 'whole'}: {error!r}"
            self.outcomes[outcome] += 1

    async def _whole(self) -> str:
        answer = await self._client.chat.completions.create(**self._body())
        assert answer.usage
        assert answer.usage.completion_tokens == TOKENS
        return "whole"

    async def _stream(self) -> str:
        answer = await self._client.chat.completions.create(**self._body(stream=True))
        chunks = [chunk async for chunk in answer]
        assert chunks[-1].choices[0].finish_reason == "length"
        return "streamed"

    def _body(self, **options: object) -> Any:  # noqa: ANN401 -- the client's many overloads
        return chat_body("Hello", max_tokens=TOKENS, **options)


@pytest.fixture
def api(redis_url: str, tmp_path: Path) -> Iterator[Service]:
    """A service whose answers take a while."""
    with service(
        tmp_path,
        redis_url,
        requests_per_minute=10**6,
        tokens_per_minute=0,
        simulated_tokens_per_second=200,
        readiness_grace=0.3,
    ) as ready:
        yield ready


@pytest.fixture
def ports() -> list[str]:
    return [str(free_port()) for _ in range(2)]


@pytest.fixture
def programs(api: Service, ports: list[str]) -> list[Program]:
    return [api.start("api", PORT=port) for port in ports]


@pytest.fixture
def nginx(programs: list[Program]) -> Iterator[Nginx]:
    addresses = (program.url for program in programs)
    with tempfile.TemporaryDirectory() as name, running(Nginx(Path(name), *addresses)) as proxy:
        yield proxy


@pytest.mark.anyio
async def test_no_request_fails(
    api: Service, ports: list[str], programs: list[Program], nginx: Nginx
) -> None:
    key = await asyncio.to_thread(api.new_key)
    async with Load(nginx.url, key) as load:
        for port, program in zip(ports, programs, strict=True):
            await load.more()
            await asyncio.to_thread(program.stop)
            await load.more()
            await asyncio.to_thread(api.start, "api", PORT=port)
        await load.more()
    assert set(load.outcomes) == {"whole", "streamed"}
