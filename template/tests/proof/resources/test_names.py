"""Features whose names meet do not start: one of them would be lost without a word."""

from pathlib import Path
from typing import Any

import pytest

from app import features
from app.resources.lifespan import all_agents, all_jobs, all_operations
from engine.agents.agent import Agent
from engine.agents.runs import AWAITED_RUN
from engine.errors import Misconfigured
from engine.operations.operation import CHAT
from tests.service import LIMIT, Program, service

ONE = 'from engine.agents.agent import Agent\n\nAGENT = Agent("helper", instructions="Help.")\n'


def agent(name: str, **more: Any) -> Agent:  # noqa: ANN401
    return Agent(name, instructions="Help.", **more)


async def look_up() -> None:
    """Look it up."""


def test_two_agents_of_one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "AGENTS", [agent("helper"), agent("other"), agent("helper")])
    with pytest.raises(Misconfigured, match="Two agents have the name helper: rename one"):
        all_agents()


def test_a_job_with_the_name_of_one_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "JOBS", [AWAITED_RUN])
    with pytest.raises(Misconfigured, match="Two jobs have the name agent: rename one"):
        all_jobs()


def test_an_operation_with_the_address_of_one_that_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(features, "OPERATIONS", [CHAT])
    with pytest.raises(Misconfigured, match="Two operations have the name /v1/chat/completions"):
        all_operations()


@pytest.mark.parametrize(("model", "default"), [("helper", None), (None, "helper")])
def test_an_agent_with_the_name_of_a_model_that_is_asked(
    monkeypatch: pytest.MonkeyPatch, model: str | None, default: str | None
) -> None:
    monkeypatch.setattr(features, "AGENTS", [agent("helper"), agent("other", model=model)])
    with pytest.raises(Misconfigured, match="The agent helper has the name of a model"):
        all_agents(default)


def test_a_project_whose_list_of_features_is_older_has_no_agents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(features, "AGENTS")
    assert all_agents() == {}


def test_two_tools_of_one_name() -> None:
    with pytest.raises(Misconfigured, match="The agent helper has two tools of one name"):
        agent("helper", tools=[look_up, look_up])


def test_a_name_that_no_request_can_have() -> None:
    with pytest.raises(Misconfigured, match="The agent my helper has other signs"):
        agent("my helper")


def test_both_processes_say_so_in_a_sentence(redis_url: str, tmp_path: Path) -> None:
    modules, folder = tmp_path / "modules", tmp_path / "data"
    for path in (modules, folder):
        path.mkdir()
    for name in ("first.py", "second.py"):
        (modules / name).write_text(ONE)
    with service(folder, redis_url, modules=modules) as ready:
        for command in ("api", "worker"):
            program = Program(command, ready.environment, folder / f"{command}.log")
            assert program.process.wait(LIMIT) != 0
            assert "Two agents have the name helper: rename one." in program.text()
            assert "Traceback" not in program.text()
