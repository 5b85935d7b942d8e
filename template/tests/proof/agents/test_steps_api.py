"""The steps of an agent's run, as its caller and operators read them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI
from sqlalchemy.orm import Session

from engine.agents.history import StepObject, page_of_steps
from engine.sql.pagination import PageQuery
from engine.views.backlog import approvals
from tests.proof.agents.scripted import script
from tests.proof.machines import past
from tests.proof.machines.plans import sqlite_plans
from tests.proof.machines.store import Store
from tests.service import Service, service

MODULES = Path(__file__).with_name("modules")
SLOW = {"SCRIPTED_SECONDS": "0.2", "TOOL_SECONDS": "0.2"}
REFUND = ("refund", {"order": 1, "cents": 5})
PLAN = script([("look_up", {"order": 1}), REFUND], "Wait.")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def at_work(
    request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service whose model and tools take 0.2 s."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    folder, provider = tmp_path_factory.mktemp("steps"), "tests.proof.agents.scripted"
    with service(folder, redis_url, url, modules=MODULES, model_provider=provider) as ready:
        ready.start("api", "worker", **SLOW)
        yield ready


@pytest.fixture(scope="module")
def client(at_work: Service) -> Iterator[OpenAI]:
    with at_work.client(at_work.new_key(), max_retries=0) as official:
        yield official


@pytest.fixture(scope="module")
def http(at_work: Service, client: OpenAI) -> Iterator[httpx.Client]:
    with at_work.http(client.api_key) as opened:
        yield opened


@pytest.fixture(scope="module")
def asked(client: OpenAI) -> str:
    """The id of a response that waits for a human."""
    return client.responses.create(model="refunds", input=PLAN).id


def listed(http: httpx.Client, response_id: str, **query: str | int) -> dict[str, Any]:
    asked: dict[str, str | int] = {"order": "asc", **query}
    answer = http.get(f"/v1/responses/{response_id}/steps", params=asked)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_each_step_is_told_with_what_it_was_given_and_gave(http: httpx.Client, asked: str) -> None:
    answer, look_up, refund = (StepObject(**each) for each in listed(http, asked)["data"])
    assert [answer.position, look_up.position, refund.position] == [0, 1, 2]
    assert (answer.kind, answer.name, answer.status) == ("model", "scripted", "done")
    assert answer.usage
    assert answer.usage["total_tokens"] == 12
    assert isinstance(answer.output, list)
    assert [item["type"] for item in answer.output] == ["function_call"] * 2
    assert (look_up.kind, look_up.name, look_up.status) == ("tool", "look_up", "done")
    assert (look_up.arguments, look_up.output, look_up.attempt) == ('{"order": 1}', "order 1", 1)
    assert (refund.status, refund.attempt, refund.finished_at) == ("approval", 0, None)


def test_a_step_tells_its_own_time(http: httpx.Client, asked: str) -> None:
    answer, look_up, _ = (StepObject(**each) for each in listed(http, asked)["data"])
    for step in (answer, look_up):
        assert step.finished_at
        assert step.finished_at - step.started_at >= 0.2


def test_an_approved_step_names_the_one_that_asked(
    client: OpenAI, http: httpx.Client, asked: str
) -> None:
    waiting = listed(http, asked)["data"][-1]["id"]
    answer: Any = {"type": "mcp_approval_response", "approval_request_id": waiting, "approve": True}
    again = client.responses.create(model="refunds", previous_response_id=asked, input=[answer])
    first, *_ = listed(http, again.id)["data"]
    assert (first["name"], first["status"]) == ("refund", "done")
    assert first["approval_request_id"] == waiting


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_follow_each_other_without_a_gap(http: httpx.Client, asked: str, order: str) -> None:
    places, after = [], None
    while True:
        page = listed(http, asked, order=order, limit=1, **({"after": after} if after else {}))
        places += [each["position"] for each in page["data"]]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert places == sorted([0, 1, 2], reverse=order == "desc")


def test_a_response_of_a_model_has_no_steps(client: OpenAI, http: httpx.Client) -> None:
    made = client.responses.create(model="scripted", input=script("Hello"))
    assert listed(http, made.id) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_the_steps_of_another_caller_are_not_found(at_work: Service, asked: str) -> None:
    with at_work.http(at_work.new_key("stranger")) as stranger:
        for response_id in (asked, "resp_of_nobody"):
            answer = stranger.get(f"/v1/responses/{response_id}/steps")
            assert answer.status_code == 404
            assert answer.json()["error"]["param"] == "response_id"


def test_no_steps_of_others_are_scanned() -> None:
    kept = Store()
    kept.write(past.add_caller)
    response_id = kept.write(past.add_response, 1)

    def read(session: Session) -> object:
        query = PageQuery(after="step_1")
        return page_of_steps(session, past.CALLER, response_id, query)

    with sqlite_plans() as plans:
        kept.write(read)
    assert plans
    assert "SCAN agent_steps" not in plans


def test_calls_that_wait_for_a_human_are_counted_by_their_own_index() -> None:
    kept = Store()
    with sqlite_plans() as plans:
        kept.write(approvals)
    assert any("ix_agent_steps_waiting" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN responses")]
