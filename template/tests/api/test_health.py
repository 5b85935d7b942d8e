"""Probes, while the database, Redis and the model come and go."""

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.serving import serving
from tests.service import Service, free_port
from tests.tables import make_tables

ALL_OK = {"database": "ok", "redis": "ok", "model": "ok"}


async def prepared(tmp_path: Path, redis_url: str, **others: object) -> Settings:
    """Return settings of a service whose database has its tables."""
    values = {"data_dir": tmp_path, "redis_url": redis_url, "model_provider": "simulated"}
    settings = Settings(**values | others)  # type: ignore[arg-type]
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


@pytest.mark.anyio
async def test_without_its_model_server_it_stays_in_rotation_and_says_so(
    tmp_path: Path, redis_url: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    of_openai = await prepared(
        tmp_path, redis_url, model_provider="openai", openai_base_url=nowhere
    )
    async with serving(create_app(of_openai)) as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    state = {**ALL_OK, "model": "failing: ModelDown"}
    assert answer.json() == {"status": "degraded", "resources": state}


@pytest.mark.anyio
async def test_a_model_server_that_never_answers_does_not_hold_up_the_probe(
    tmp_path: Path, redis_url: str
) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
        of_openai = await prepared(
            tmp_path, redis_url, model_provider="openai", openai_base_url=url
        )
        async with serving(create_app(of_openai)) as client:
            answer = await client.get("/ready")
    assert answer.json()["resources"]["model"] == "no answer within 2 s"


@pytest.mark.anyio
async def test_without_its_database_it_is_taken_out_of_rotation_but_not_restarted(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    name = f"leaving_{uuid4().hex}"
    server = await asyncpg.connect(postgres_url)
    await server.execute(f"CREATE DATABASE {name}")
    url = postgres_url.rpartition("/")[0] + f"/{name}"
    async with serving(create_app(await prepared(tmp_path, redis_url, database_url=url))) as client:
        assert (await client.get("/ready")).status_code == 200
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        async with asyncio.timeout(30):
            while (ready := await client.get("/ready")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        alive = await client.get("/live")
    await server.close()
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["resources"]["database"].startswith("failing: ")
