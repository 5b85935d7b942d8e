"""`app model`: operators see slots, pauses and circuits, and can end these."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from engine.errors import AppError
from engine.process.redis import open_redis
from engine.slots.redis_semaphore import Pause, Priority, Reason, RedisSemaphore, Report
from tests.cli.command import run, told, told_json


@pytest.fixture(autouse=True)
def _service(redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SERVICE_SLUG", tmp_path.name)
    monkeypatch.setenv("MODEL_PROVIDER", "openai")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def report(first: Report, priority: Priority = Priority.ONLINE) -> None:
    """Let a process report this of the slots."""
    settings = Settings(_env_file=None)

    async def send() -> None:
        async with open_redis(settings) as redis:
            key = f"{settings.service_slug}:slots:first-openai"
            await RedisSemaphore(redis, key, priority, 60).report(first, 50, 5)

    asyncio.run(send())


def paused(*models: str) -> Report:
    return Report(pauses={Pause(Reason.ASKED, model): 50.0 for model in models})


def status() -> dict[str, Any]:
    [provider] = told_json("model", "status")
    found: dict[str, Any] = provider
    return found


def test_where_no_process_runs_all_slots_are_free() -> None:
    counts = {"slots": 50, "allowed": 50, "online": 0, "batch": 0}
    assert status() == {"provider": "first-openai", **counts, "models": []}
    assert told("model", "status")[-1] == "No model is paused, no circuit is open."


def test_slots_are_counted_over_all_processes() -> None:
    report(Report(held=3))
    report(Report(held=4, cuts=1))
    report(Report(held=2), Priority.BATCH)
    found = status()
    assert (found["allowed"], found["online"], found["batch"]) == (35, 7, 2)


def test_pauses_and_open_circuits_are_shown_by_model() -> None:
    report(Report(pauses={Pause(Reason.ASKED, "a:b"): 50.0, Pause(Reason.CIRCUIT, "c"): 30.0}))
    first, second = status()["models"]
    assert (first["model"], first["circuit"], first["circuit_open_for"]) == ("a:b", "closed", None)
    assert 30 < first["paused_for"] <= 50
    assert (second["model"], second["circuit"], second["paused_for"]) == ("c", "open", None)
    assert 10 < second["circuit_open_for"] <= 30


def test_a_pause_that_is_over_is_not_shown() -> None:
    report(Report(pauses={Pause(Reason.ASKED, "model"): 0.001}))
    assert status()["models"] == []


def test_the_name_of_a_model_does_not_turn_the_terminal() -> None:
    report(paused("\x1b[2J\nforged"))
    lines = told("model", "status")
    assert len(lines) == 5
    assert "\\u001b" in lines[-1]


def test_one_pause_is_lifted() -> None:
    report(paused("a", "b"))
    assert told("model", "resume", "a") == ["first-openai is asked for 'a' again."]
    assert [each["model"] for each in status()["models"]] == ["b"]


def test_all_pauses_are_lifted_and_circuits_are_left() -> None:
    report(paused("a", "b"))
    report(Report(pauses={Pause(Reason.CIRCUIT, "a"): 30.0}))
    assert len(told("model", "resume")) == 2
    assert [each["circuit"] for each in status()["models"]] == ["open"]
    assert told("model", "resume") == ["No model is paused."]


@pytest.mark.parametrize(("url", "said"), [("none", "REDIS_URL is none"), ("unix:///no", "Redis")])
def test_without_redis_it_says_why_it_knows_nothing(
    monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(AppError, match=said):
        run("model", "status")
