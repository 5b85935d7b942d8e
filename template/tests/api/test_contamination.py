"""No answer holds anything of another caller, for all that callers ask at the same time."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import Phase, given, settings

from tests.contamination import Visit, strangers, visits
from tests.endpoints import endpoints
from tests.lines import CHAT_URL, chat_body, jsonl, line
from tests.service import LIMIT, Service

ROUTES = endpoints()
"""Add yours, and what callers send there to `Caller.body`."""


@dataclass(frozen=True)
class Caller:
    """One who has something of everything. Its name is in all that it sends."""

    name: str
    key: str
    owned: dict[str, str]
    """The ids of what it has, by the name of the path's parameter."""

    def request(self, method: str, path: str) -> dict[str, Any]:
        """Return what it asks on a route; deletes are of what there is not."""
        own = {} if method == "DELETE" else self.owned
        url = re.sub(r"{(\w+)(:path)?}", lambda found: own.get(found[1], self.name), path)
        headers = {"authorization": f"Bearer {self.key}", "x-request-id": f"{self.name}-asks"}
        asked: dict[str, Any] = {"method": method, "url": url, "headers": headers}
        if path == "/v1/files" and method == "POST":
            return asked | upload(self.name)
        return asked | ({"json": self.body(path)} if method == "POST" else {})

    def body(self, path: str) -> dict[str, Any]:
        """Return a body for a route; one that is not known here is asked with the name alone."""
        bodies = {
            "/v1/batches": batch(self.owned["file_id"]),
            CHAT_URL: chat_body(self.name, stream=len(self.name) % 2 == 0),
            "/v1/responses": response(self.name),
            "/v1/responses/input_tokens": response(self.name),
            "/v1/conversations": conversation(self.name),
            "/v1/conversations/{conversation_id}": {"metadata": {"of": self.name}},
            "/v1/conversations/{conversation_id}/items": {"items": [message(self.name)]},
            "/v1/embeddings": {"model": "simulated-embeddings", "input": self.name},
            "/v1/jobs": {"name": self.name},
            "/v1/webhook_endpoints": webhook(self.name),
            "/v1/webhook_endpoints/{webhook_endpoint_id}": {"name": f"{self.name} again"},
            "/v1/webhook_endpoints/{webhook_endpoint_id}/test": {"event_type": "batch.expired"},
        }
        return bodies.get(path, {"name": self.name})


def upload(name: str) -> dict[str, Any]:
    lines = jsonl([line(f"{name}-item", chat_body(name))])
    return {"files": {"file": (f"{name}.jsonl", lines)}, "data": {"purpose": "batch"}}


def response(name: str) -> dict[str, Any]:
    also = dict.fromkeys(("background", "stream"), len(name) % 2 == 0)
    return {"model": "simulated-chat", "input": name, "metadata": {"of": name}, **also}


def message(name: str) -> dict[str, str]:
    return {"role": "user", "content": name, "id": f"msg_{name}"}


def conversation(name: str) -> dict[str, Any]:
    return {"items": [message(name)], "metadata": {"of": name}}


def batch(file_id: str) -> dict[str, str]:
    return {"input_file_id": file_id, "endpoint": CHAT_URL, "completion_window": "24h"}


def webhook(name: str) -> dict[str, Any]:
    return {"name": name, "url": "http://127.0.0.1:1/", "event_types": ["batch.expired"]}


def settle(live: Service, name: str) -> Caller:
    """Return a caller who has a file, a batch, a response, a conversation and a webhook."""
    key = live.new_key(name, requests_per_minute=0)
    with live.http(key) as http:
        file_id = http.post("/v1/files", **upload(name)).json()["id"]
        batch_id = http.post("/v1/batches", json=batch(file_id)).json()["id"]
        response_id = http.post("/v1/responses", json=response(name) | {"stream": False}).json()[
            "id"
        ]
        conversation_id = http.post("/v1/conversations", json=conversation(name)).json()["id"]
        webhook_id = http.post("/v1/webhook_endpoints", json=webhook(name)).json()["id"]
    owned = {"file_id": file_id, "batch_id": batch_id, "response_id": response_id}
    owned |= {"conversation_id": conversation_id, "item_id": f"msg_{name}"}
    owned["webhook_endpoint_id"] = webhook_id
    return Caller(name, key, owned)


@pytest.fixture(scope="module")
def callers(on_sqlite: Service) -> list[Caller]:
    return [settle(on_sqlite, f"{name}-{uuid4().hex}") for name in ("anna", "bert", "carla")]


async def mixed_up(live: Service, callers: list[Caller], plan: list[Visit]) -> list[Any]:
    """Return the visits whose answers hold something of another caller."""
    async with httpx.AsyncClient(base_url=live.url, timeout=LIMIT) as client:

        async def ask(visit: Visit) -> str:
            method, path = ROUTES[visit.route]
            answer = await client.request(**callers[visit.caller].request(method, path))
            assert answer.status_code < 500 or answer.status_code == 502, answer.text
            return f"{json.dumps(dict(answer.headers))} {answer.text}"

        identities = [[one.name, one.key, *one.owned.values()] for one in callers]
        return await strangers(identities, plan, ask)


@pytest.mark.parametrize("route", range(len(ROUTES)), ids=lambda number: " ".join(ROUTES[number]))
def test_callers_of_one_route_at_once_get_nothing_of_each_other(
    on_sqlite: Service, callers: list[Caller], route: int
) -> None:
    plan = [Visit(caller, 0, route) for caller in (0, 1, 2, 0, 1, 2)]
    assert asyncio.run(mixed_up(on_sqlite, callers, plan)) == []


def test_callers_of_all_routes_at_once_get_nothing_of_each_other(
    on_sqlite: Service, callers: list[Caller]
) -> None:
    @settings(deadline=None, max_examples=15, database=None, phases=[Phase.generate])
    @given(plan=visits(routes=len(ROUTES), callers=3, most=12))
    def overlapping(plan: list[Visit]) -> None:
        assert asyncio.run(mixed_up(on_sqlite, callers, plan)) == []

    overlapping()
