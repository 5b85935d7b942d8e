"""No answer of vector stores holds anything of another caller who asks at the same time."""

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.api.test_contamination import ROUTES, Caller, mixed_up
from tests.contamination import Visit
from tests.service import Service

OURS = [at for at, (_, path) in enumerate(ROUTES) if path.startswith("/v1/vector_stores")]


@dataclass(frozen=True)
class Librarian(Caller):
    """One who has a store with a file, whose text is its name."""

    def body(self, path: str) -> dict[str, Any]:
        """Return a body for a route of vector stores."""
        ends: dict[str, dict[str, Any]] = {
            "/files": {"file_id": self.owned["file_id"]},
            "/files/{file_id}": {"attributes": {"of": self.name}},
            "/file_batches": {"file_ids": [self.owned["file_id"]]},
            "/search": {"query": self.name},
        }
        return ends.get(path.partition("{vector_store_id}")[2], {"name": self.name})


def settle(live: Service, name: str) -> Librarian:
    """Return a caller with a store."""
    key = live.new_key(name, requests_per_minute=0)
    with live.client(key) as client:
        store = client.vector_stores.create(name=name).id
        file = client.files.create(file=(f"{name}.txt", name.encode()), purpose="assistants").id
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file])
    assert batch.file_counts.completed == 1
    return Librarian(name, key, {"vector_store_id": store, "file_id": file, "batch_id": batch.id})


@pytest.fixture(scope="module")
def librarians(on_sqlite: Service) -> list[Caller]:
    return [settle(on_sqlite, f"{name}-{uuid4().hex}") for name in ("anna", "bert", "carla")]


@pytest.mark.parametrize("route", OURS, ids=lambda number: " ".join(ROUTES[number]))
def test_callers_of_one_route_of_stores_get_nothing_of_each_other(
    on_sqlite: Service, librarians: list[Caller], route: int
) -> None:
    plan = [Visit(caller, 0, route) for caller in (0, 1, 2, 0, 1, 2)]
    assert asyncio.run(mixed_up(on_sqlite, librarians, plan)) == []


def test_callers_of_all_routes_of_stores_get_nothing_of_each_other(
    on_sqlite: Service, librarians: list[Caller]
) -> None:
    plan = [Visit(at % 3, at % 5, route) for at, route in enumerate(OURS * 4)]
    assert asyncio.run(mixed_up(on_sqlite, librarians, plan)) == []
