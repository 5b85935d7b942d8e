"""The cost of a probe, and its answer where a part is there but not as it should be."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from aiohttp import web
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.orm import Session

from app.main import create_app
from app.settings import Settings
from engine.callers.keys import create_key
from engine.models.failover import FAILURES
from engine.sql.database import open_database
from tests import upstream
from tests.api.serving import serving
from tests.servers import EmbeddedRedis, running
from tests.service import free_port
from tests.tables import make_tables, new_database

pytestmark = pytest.mark.anyio

READY = {"database": "ok", "redis": "not used", "model": "ok"}
FLOOD = 50


async def prepared(tmp_path: Path, **others: object) -> Settings:
    values = {"data_dir": tmp_path / "data", "redis_url": "none", "model_provider": "simulated"}
    settings = Settings(**values | others)  # type: ignore[arg-type]
    settings.data_dir.mkdir()
    await make_tables(settings)
    return settings


async def executed(settings: Settings, statement: str) -> None:
    def execute(session: Session) -> None:
        session.execute(text(statement))

    async with open_database(settings) as database:
        await database.write(execute)


async def until(client: httpx.AsyncClient, **states: str) -> httpx.Response:
    """Return the answer of `/ready` once it says this of resources: it remembers for a second."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.get("/ready")
            if answer.json()["resources"] == READY | states:
                return answer
            await asyncio.sleep(0.02)


@asynccontextmanager
async def asking(tmp_path: Path, handler: upstream.Handler) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client, with a key, of a service that asks this model server."""
    async with upstream.serving(handler) as server:
        settings = await prepared(tmp_path, model_provider="openai", openai_base_url=server.url)
        async with open_database(settings) as database:
            key = await database.write(create_key, "ada")
        async with serving(create_app(settings)) as client:
            client.headers["authorization"] = f"Bearer {key}"
            yield client


async def chat(client: httpx.AsyncClient, model: str) -> int:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    return (await client.post("/v1/chat/completions", json=body)).status_code


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_flood_of_probes_asks_the_model_server_once_a_second(
    tmp_path: Path, *, at_once: bool
) -> None:
    asked = []

    async def models(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.json_response({"object": "list", "data": []})

    async with asking(tmp_path, models) as client:
        if at_once:
            await asyncio.gather(*(client.get("/ready") for _ in range(FLOOD)))
        else:
            for _ in range(FLOOD):
                await client.get("/ready")
    assert 1 <= len(asked) < FLOOD / 5


@pytest.mark.parametrize(
    ("status", "calls", "told"),
    [
        (429, 1, "1 paused, 0 with an open circuit"),
        (503, FAILURES, "0 paused, 1 with an open circuit"),
    ],
)
async def test_a_model_that_is_left_alone_is_told_at_once(
    tmp_path: Path, status: int, calls: int, told: str
) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/models"):
            return web.json_response({"object": "list", "data": []})
        return web.json_response({}, status=status, headers={"retry-after": "604800"})

    async with asking(tmp_path, refuse) as client:
        assert (await client.get("/ready")).json()["status"] == "ready"
        for _ in range(calls):
            assert await chat(client, "small") == status
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["resources"]["model"] == f"{told}: see `app model status`"


OLDER = "its tables are older than the code: run `app migrate`"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("DELETE FROM alembic_version WHERE version_num LIKE 'engine%'", OLDER),
        ("DELETE FROM alembic_version WHERE version_num LIKE 'app%'", OLDER),
        ("DROP TABLE alembic_version", OLDER),
        (
            "UPDATE alembic_version SET version_num = 'engine_9999' WHERE version_num LIKE 'e%'",
            "ok",
        ),
        ("UPDATE alembic_version SET version_num = version_num || '_next'", "ok"),
    ],
    ids=["engine older", "app older", "empty", "engine newer", "both newer"],
)
async def test_tables_that_are_older_than_the_code_take_it_out_of_rotation(
    tmp_path: Path, change: str, told: str
) -> None:
    settings = await prepared(tmp_path)
    await executed(settings, change)
    async with serving(create_app(settings)) as client:
        answer = await client.get("/ready")
    assert answer.status_code == (503 if told == OLDER else 200)
    assert answer.json()["resources"]["database"] == told


async def test_a_database_without_tables_takes_it_out_of_rotation(postgres_url: str) -> None:
    url = await new_database(postgres_url)
    settings = Settings(database_url=url, redis_url="none", model_provider="simulated")
    async with serving(create_app(settings)) as client:
        answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    assert answer.json()["resources"]["database"] == OLDER


async def test_a_data_folder_that_was_deleted_is_told(tmp_path: Path) -> None:
    settings = await prepared(tmp_path)
    async with serving(create_app(settings)) as client:
        await until(client)
        shutil.rmtree(settings.data_dir)
        told = "cannot be written: No such file or directory"
        answer = await until(client, database=told)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")


async def test_a_database_that_another_process_keeps_locked_is_told(tmp_path: Path) -> None:
    settings = await prepared(tmp_path)
    held, enough = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(session: Session) -> None:
        session.connection()
        loop.call_soon_threadsafe(held.set)
        asyncio.run_coroutine_threadsafe(enough.wait(), loop).result()

    async with open_database(settings) as other, serving(create_app(settings)) as client:
        holding = asyncio.create_task(other.write(hold))
        await held.wait()
        try:
            answer = await client.get("/ready")
        finally:
            enough.set()
            await holding
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    told = answer.json()["resources"]["database"]
    assert told == "cannot be written: no answer within 2 s"


async def test_a_redis_that_takes_no_writes_is_told(tmp_path: Path) -> None:
    with running(EmbeddedRedis(tmp_path)) as server:
        settings = await prepared(tmp_path, redis_url=server.url)
        async with Redis.from_url(server.url) as redis:
            await redis.config_set("maxmemory", 1)
        async with serving(create_app(settings)) as client:
            answer = await client.get("/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    told = answer.json()["resources"]["redis"]
    assert told.startswith("cannot be written: ")
    assert "maxmemory" in told


async def test_without_its_model_server_it_stays_in_rotation_and_says_so(
    tmp_path: Path, redis_url: str
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"
    of_openai = await prepared(
        tmp_path, redis_url=redis_url, model_provider="openai", openai_base_url=nowhere
    )
    async with serving(create_app(of_openai)) as client:
        answer = await client.get("/ready")
    assert answer.status_code == 200
    state = {**READY, "redis": "ok", "model": "failing: ModelDown"}
    assert answer.json() == {"status": "degraded", "resources": state}


async def test_a_model_server_that_never_answers_does_not_hold_up_the_probe(
    tmp_path: Path, redis_url: str
) -> None:
    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(keep_silent, "127.0.0.1", 0) as silent:
        url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/v1"
        of_openai = await prepared(
            tmp_path, redis_url=redis_url, model_provider="openai", openai_base_url=url
        )
        async with serving(create_app(of_openai)) as client:
            answer = await client.get("/ready")
    assert answer.json()["resources"]["model"] == "no answer within 2 s"


async def test_without_its_database_it_is_taken_out_of_rotation_but_not_restarted(
    tmp_path: Path, redis_url: str, postgres_url: str
) -> None:
    url = await new_database(postgres_url)
    server = await asyncpg.connect(postgres_url)
    async with serving(
        create_app(await prepared(tmp_path, redis_url=redis_url, database_url=url))
    ) as client:
        assert (await client.get("/ready")).status_code == 200
        await server.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")
        async with asyncio.timeout(30):
            while (ready := await client.get("/ready")).status_code == 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        alive = await client.get("/live")
    await server.close()
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert ready.json()["status"] == "unavailable"
    assert ready.json()["resources"]["database"].startswith("failing: ")
