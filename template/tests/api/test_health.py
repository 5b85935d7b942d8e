"""Probes, with Redis and without."""

from pathlib import Path

import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.serving import serving
from tests.service import Service, free_port
from tests.tables import make_tables

ALL_OK = {"database": "ok", "redis": "ok", "model": "ok"}


async def prepared(tmp_path: Path, redis_url: str) -> Settings:
    """Return settings of a service whose database has its tables."""
    settings = Settings(data_dir=tmp_path, redis_url=redis_url, model_provider="simulated")
    await make_tables(settings)
    return settings


def test_a_running_process_is_alive(live: Service) -> None:
    with live.http() as http:
        answer = http.get("/live")
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})


def test_with_all_resources_there_it_is_ready(live: Service) -> None:
    with live.http() as http:
        answer = http.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "resources": ALL_OK}


@pytest.mark.anyio
async def test_without_redis_it_serves_on_and_says_so(tmp_path: Path) -> None:
    nowhere = f"redis://127.0.0.1:{free_port()}"
    async with serving(create_app(await prepared(tmp_path, nowhere))) as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    state = {**ALL_OK, "redis": "failing: ConnectionError"}
    assert answer.json() == {"status": "degraded", "resources": state}


@pytest.mark.anyio
async def test_where_no_redis_is_used_it_is_ready_and_says_so(tmp_path: Path) -> None:
    async with serving(create_app(await prepared(tmp_path, "none"))) as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "resources": {**ALL_OK, "redis": "not used"}}
