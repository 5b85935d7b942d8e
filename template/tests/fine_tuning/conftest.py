"""Two services: one whose simulated trainer is the provider of the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from openai import OpenAI
from sqlalchemy.orm import Session

from engine.sql.tables import Base
from tests.fine_tuning.provider import Address, FakeProvider, provider_address
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


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    """Where the trainers of the tests are reached."""
    with provider_address() as served:
        yield served


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def front(
    request: pytest.FixtureRequest,
    address: Address,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service whose provider is at that address, on each database, with an API and no worker."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    settings: dict[str, Any] = {"model_provider": "openai", "openai_base_url": address.url}
    folder = tmp_path_factory.mktemp(f"front-{request.param}")
    with service(folder, redis_url, url, http_read_timeout=1, **settings, **FAST) as ready:
        ready.start("api")
        yield ready


@pytest.fixture
def provider(address: Address) -> FakeProvider:
    """A trainer that errs as a test wants it to."""
    address.provider = FakeProvider(address.url)
    return address.provider


@pytest.fixture
def lab(front: Service, provider: FakeProvider) -> Iterator[Lab]:
    """That service with nothing of another test in it; its workers end with the test."""
    front.in_database(forget_all)
    yield Lab(front, provider)
    for program in front.programs[1:]:
        program.stop()


def forget_all(session: Session) -> None:
    for table in reversed(Base.metadata.sorted_tables):
        session.execute(table.delete())
