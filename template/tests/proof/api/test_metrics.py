"""The metrics of a process, as Prometheus reads them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp

from app.main import create_app
from app.resources.lifespan import open_resources
from app.settings import Settings
from engine.errors import OpenError
from engine.worker.probes import Liveness, serving_probes
from tests.api.serving import serving
from tests.proof.machines import past
from tests.service import Service, eventually, free_port
from tests.tables import make_tables

LIMITS = {"requests", "streams", "progress_streams", "background_tasks"}
LIMITS |= {"offload_threads", "offload_processes", "framework_threads"}


def samples(text: str, name: str) -> dict[tuple[str, ...], float]:
    """Return the samples of this name by the values of their labels."""
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def scraped(live: Service) -> str:
    """Return metrics that are read now, not those that are remembered."""
    with live.http() as http:
        texts = [http.get("/metrics").text]

        def is_new() -> bool:  # each request is counted
            texts.append(http.get("/metrics").text)
            return texts[-1] != texts[0]

        eventually(is_new)
    return texts[-1]


def requests(live: Service) -> dict[tuple[str, ...], float]:
    """Return how many requests there were, by method, route and status."""
    return samples(scraped(live), "app_http_request_seconds_count")


@pytest.mark.anyio
async def test_a_flood_of_scrapes_reads_them_once(tmp_path: Path) -> None:
    async with serving(create_app(bare(tmp_path))) as client:
        texts = [(await client.get("/metrics")).text for _ in range(10)]
    assert len(set(texts)) < 10 / 2


def test_requests_are_counted_by_their_route_and_not_by_their_path(live: Service, key: str) -> None:
    one = ("GET", "/v1/files/{file_id}", "404")
    before = requests(live).get(one, 0)
    with live.http(key) as http:
        for name in ("a", "b"):
            http.get(f"/v1/files/{name}")
    after = requests(live)
    assert after[one] == before + 2
    assert not any("/v1/files/a" in labels for labels in after)


def test_paths_that_clients_invent_make_no_new_series(live: Service) -> None:
    with live.http() as http:
        http.request("PROPFIND", "/live")
        http.get("/one")
        before = requests(live)
        http.request("MKCOL", "/live")
        http.get("/another")
    after = requests(live)
    assert set(after) == set(before)
    assert after["other", "/live", "405"] == before["other", "/live", "405"] + 1
    assert after["GET", "none", "404"] == before["GET", "none", "404"] + 1


def test_every_limit_tells_its_use_its_queue_and_its_size(live: Service) -> None:
    with live.http() as http:
        answer = http.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    kinds = {
        "sqlite": {"database_writer", "database_readers"},
        "postgresql": {"database_connections"},
    }
    wanted = LIMITS | kinds[live.settings.sql_url.partition(":")[0]]
    for name in ("used", "waiting", "size"):
        found = samples(answer.text, f"app_limit_{name}")
        assert {limit for (limit,) in found} == wanted


def test_refusals_are_counted_by_their_reason(live: Service) -> None:
    hasty = live.new_key("hasty for metrics", requests_per_minute=1)
    body = {"model": "simulated-embeddings", "input": "Hello"}
    with live.http(hasty) as http:
        statuses = [http.post("/v1/embeddings", json=body).status_code for _ in range(2)]
    counts = samples(scraped(live), "app_refused_total")
    assert statuses == [200, 429]
    assert counts["requests_per_minute",] >= 1


def test_the_slots_of_each_provider_are_told(live: Service) -> None:
    with live.http() as http:
        slots = samples(http.get("/metrics").text, "app_model_slots")
    assert slots["first-simulated", "online", "cap"] == live.settings.simulated_parallel
    assert {state for *_, state in slots} == {"held", "allowed", "cap", "waiting"}


@pytest.mark.anyio
async def test_the_lag_of_the_loop_is_measured_again_and_again(tmp_path: Path) -> None:
    async with serving(create_app(bare(tmp_path))) as client:
        async with asyncio.timeout(30):
            first = await beats(client)
            while await beats(client) < first + 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


async def beats(client: httpx.AsyncClient) -> float:
    counts = samples((await client.get("/metrics")).text, "app_event_loop_lag_seconds_count")
    return counts[()]


def bare(tmp_path: Path, **others: object) -> Settings:
    values = {"data_dir": tmp_path, "redis_url": "none", "model_provider": "simulated"}
    return Settings(**values | others)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_where_a_token_is_set_only_its_bearer_may_read(tmp_path: Path) -> None:
    guarded = bare(tmp_path, metrics_token=SecretStr("very-secret"))
    async with serving(create_app(guarded)) as client:
        statuses = [
            (await client.get("/metrics", headers={"authorization": each})).status_code
            for each in ("", "Bearer wrong", "very-secret", "Bearer very-secret")
        ]
    assert statuses == [401, 401, 401, 200]


@pytest.fixture
async def port_of_a_worker(tmp_path: Path) -> AsyncIterator[int]:
    """The port where the resources of a worker tell their metrics."""
    settings = bare(tmp_path, worker_metrics_port=free_port())
    async with open_resources(settings) as resources, serving_probes(resources, Liveness()):
        yield settings.worker_metrics_port


@pytest.mark.anyio
async def test_a_worker_tells_its_own(port_of_a_worker: int) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port_of_a_worker}/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    assert samples(answer.text, "app_limit_size")["database_readers",] == 5


@pytest.mark.anyio
async def test_a_worker_tells_how_much_work_there_is(tmp_path: Path) -> None:
    settings = bare(tmp_path, worker_metrics_port=free_port())
    await make_tables(settings)
    async with open_resources(settings) as resources, serving_probes(resources, Liveness()):
        await resources.database.write(past.add_caller)
        await resources.database.write(past.add_job, 0.5, "queued")
        async with httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{settings.worker_metrics_port}/metrics"
            told = (await client.get(url)).text
    depths = samples(told, "app_queue_depth")
    assert (depths["waiting", "job report"], depths["running", "job report"]) == (1, 0)
    assert samples(told, "app_queue_oldest_seconds")["job report",] > past.DAY / 3


@pytest.mark.anyio
async def test_a_worker_whose_port_is_taken_says_so_in_a_sentence(
    tmp_path: Path, port_of_a_worker: int
) -> None:
    settings = bare(tmp_path, worker_metrics_port=port_of_a_worker)
    async with open_resources(settings) as resources:
        with pytest.raises(OpenError, match="WORKER_METRICS_PORT"):
            async with serving_probes(resources, Liveness()):
                pass


def layers(app: ASGIApp) -> list[ASGIApp]:
    """Return the middleware around `app` and the app itself."""
    return [app, *layers(app.app)] if hasattr(app, "app") else [app]


def slow_layers(*more: type[BaseHTTPMiddleware]) -> list[ASGIApp]:
    """Return the layers of our app that are a `BaseHTTPMiddleware`, with `more` around it."""
    app = create_app(Settings())
    for each in more:
        app.add_middleware(each)
    return [
        each
        for each in layers(app.build_middleware_stack())
        if isinstance(each, BaseHTTPMiddleware)
    ]


def test_no_middleware_costs_a_task_and_hides_that_the_client_has_gone() -> None:
    assert slow_layers() == []
    assert len(slow_layers(BaseHTTPMiddleware)) == 1
