"""Two services: one whose simulated trainer is the provider of the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI

from tests.fine_tuning.provider import FakeProvider, faulty_provider
from tests.service import Program, Service, service

FAST: dict[str, Any] = {
    "lease_seconds": 1,
    "sweep_seconds": 0.2,
    "fine_tuning_poll_seconds": 0.1,
    "fine_tuning_settle_seconds": 1,
    "webhook_private_addresses": True,
}


@dataclass(frozen=True)
class Chain:
    """The service that callers use, and the one that is its provider."""

    front: Service
    trainer: Service
    key: str
    """Key of the front service at its provider."""

    def provider(self) -> OpenAI:
        """Return the client of the front service's account at its provider."""
        return self.trainer.client(self.key)

    def caller(self) -> OpenAI:
        """Return the client of a new caller."""
        return self.front.client(self.front.new_key(uuid4().hex), max_retries=0)


@pytest.fixture(scope="module")
def trainer(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose trainer is simulated."""
    folder = tmp_path_factory.mktemp("trainer")
    with service(folder, redis_url, fine_tuning_open_jobs=1000, **FAST) as ready:
        ready.start("api", "worker")
        yield ready


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def chain(
    request: pytest.FixtureRequest,
    trainer: Service,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Chain]:
    """The same as the provider of a service on each database."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    key = trainer.new_key(f"front on {request.param}")
    provider: dict[str, Any] = {"model_provider": "openai", "openai_base_url": f"{trainer.url}/v1"}
    folder = tmp_path_factory.mktemp(f"front-{request.param}")
    with service(folder, redis_url, url, openai_api_key=key, **provider, **FAST) as ready:
        ready.start("api", "worker")
        yield Chain(ready, trainer, key)


@dataclass(frozen=True)
class Lab:
    """A service whose provider errs. Each test has a provider of its own and starts the worker."""

    service: Service
    provider: FakeProvider

    def caller(self) -> OpenAI:
        """Return the client of a new caller."""
        return self.service.client(self.service.new_key(uuid4().hex), max_retries=0)

    def work(self) -> Program:
        """Start a worker."""
        return self.service.start("worker")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A trainer that errs as a test wants it to."""
    with faulty_provider() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def lab(
    request: pytest.FixtureRequest, provider: FakeProvider, redis_url: str, tmp_path: Path
) -> Iterator[Lab]:
    """A service in front of it, on each database, with an API and no worker yet."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    settings: dict[str, Any] = {"model_provider": "openai", "openai_base_url": provider.url}
    with service(tmp_path, redis_url, url, http_read_timeout=1, **settings, **FAST) as ready:
        ready.start("api")
        yield Lab(ready, provider)
