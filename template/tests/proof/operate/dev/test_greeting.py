"""The greeting of `app dev` says whether the model can be used, and how."""

import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings
from engine.operate.dev.greeting import development_key, greet, servers_without_responses
from tests.api.serving import serving
from tests.service import free_port
from tests.upstream import answering, serving_in_thread

KEY = "sk-wrong"
WRONG_KEY = {"error": {"message": f"Incorrect API key provided: {KEY}.", "code": "invalid_api_key"}}
NO_MODELS = {"object": "list", "data": []}


@pytest.fixture
def settings(sqlite_tables: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "data_dir": tmp_path,
        "database_url": f"sqlite:///{shutil.copy(sqlite_tables, tmp_path)}",
        "redis_url": "none",
        "model_provider": "openai",
        "openai_api_key": KEY,
    }


def greeting(settings: Settings) -> None:
    """Print the greeting of an API with these settings. Its loop serves nobody and may block."""
    asyncio.run(_greeting(settings))


async def _greeting(settings: Settings) -> None:
    async with serving(create_app(settings)) as client:
        address = client.base_url.host, client.base_url.port
        listener: Any = SimpleNamespace(getsockname=lambda: address)
        await greet(settings, listener, await development_key(settings))


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, WRONG_KEY, "refuses this service's own key"),
        (404, "Not Found", "WARNING: the model cannot be used. "),
        (200, "<html>", "is not in OpenAI's format"),
        (200, NO_MODELS, "lists no model: set DEFAULT_MODEL"),
    ],
)
def test_a_model_server_that_is_of_no_use_is_told_of(
    settings: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    status: int,
    answer: object,
    said: str,
) -> None:
    with serving_in_thread(answering(status, answer)) as url:
        greeting(Settings(openai_base_url=url, **settings))
    greeted, warned = capsys.readouterr()
    assert " runs without a model at http://" in greeted
    assert said in "WARNING: " + warned.partition("WARNING: ")[2].partition("Its key")[0]
    assert f"look at OPENAI_BASE_URL ({url})\nand OPENAI_API_KEY" in warned
    assert "curl " not in greeted
    assert KEY not in greeted + warned


def test_a_model_server_that_is_not_there_is_told_of(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    greeting(Settings(openai_base_url=url, default_model="m", **settings))
    greeted, warned = capsys.readouterr()
    assert " runs without a model at http://" in greeted
    assert "The model server cannot be reached" in warned


def test_a_model_server_of_use_is_asked_for_its_first_model(
    settings: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = {"object": "list", "data": [{"id": "first", "object": "model"}]}
    with serving_in_thread(answering(200, answer)) as url:
        greeting(Settings(openai_base_url=url, **settings))
    assert '"model": "first"' in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "lacks"), [(404, True), (405, True), (400, False), (401, False)]
)
def test_a_native_server_without_the_path_is_named(
    settings: dict[str, Any], status: int, lacks: bool
) -> None:
    with serving_in_thread(answering(status, {})) as url:
        native = Settings(openai_base_url=url, openai_responses="native", **settings)
        assert asyncio.run(servers_without_responses(native)) == ([url] if lacks else [])
        chat = Settings(openai_base_url=url, **settings)
        assert asyncio.run(servers_without_responses(chat)) == []
    away = Settings(openai_base_url="http://127.0.0.1:1/v1", openai_responses="native", **settings)
    assert asyncio.run(servers_without_responses(away)) == []
