"""A URL is taken as it is meant, and a missing path is told with the paths that there are."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.serving import serving
from tests.batches import HoldBatch
from tests.endpoints import endpoints
from tests.service import Service

pytestmark = pytest.mark.anyio
WEBSOCKET = "/v1/responses"
"""The path whose GET refuses a WebSocket."""

READABLE = [
    path
    for method, path in endpoints()
    if method == "GET" and "{" not in path and path != WEBSOCKET
]


@pytest.fixture
async def behind_a_proxy(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        data_dir=tmp_path, redis_url="none", model_provider="simulated", root_path="/llm"
    )
    async with serving(create_app(settings)) as client:
        yield client


@pytest.mark.parametrize("path", READABLE)
def test_every_readable_path_has_a_head(live: Service, key: str, path: str) -> None:
    with live.http(key) as http:
        head, whole = http.head(path), http.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]


def test_a_connection_serves_on_after_the_head_of_a_stream(
    live: Service, key: str, hold_batch: HoldBatch
) -> None:
    held = hold_batch(live, key, 1)
    with live.http(key) as http:
        head = http.head(f"/v1/batches/{held.id}/events")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert http.get("/live").status_code == 200


@pytest.mark.parametrize("path", ["/v1/models/", "//v1/models", "/v1//models", "/live/"])
def test_slashes_too_many_change_nothing(live: Service, key: str, path: str) -> None:
    with live.http(key) as http:
        answer = http.get(f"{live.url}{path}")
    assert answer.status_code == 200


def test_a_body_is_not_lost_for_a_slash(live: Service, key: str) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/embeddings/", json={"model": "simulated-embeddings", "input": "a"})
    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/live", "/llm/live", "/llm/live/"])
async def test_a_prefix_may_be_there_or_stripped(
    behind_a_proxy: httpx.AsyncClient, path: str
) -> None:
    assert (await behind_a_proxy.get(path)).json() == {"status": "alive"}


async def test_only_the_whole_prefix_is_one(behind_a_proxy: httpx.AsyncClient) -> None:
    assert (await behind_a_proxy.get("/llmlive")).status_code == 404


async def test_the_description_names_the_prefix(behind_a_proxy: httpx.AsyncClient) -> None:
    described = (await behind_a_proxy.get("/llm/openapi.json")).json()
    assert described["servers"] == [{"url": "/llm"}]


def test_a_missing_path_is_told_with_what_there_is(live: Service) -> None:
    with live.http() as http:
        message = http.post("/chat/completions").json()["error"]["message"]
    assert message.startswith("There is nothing at /chat/completions. There is: ")
    assert "/v1/chat/completions" in message
