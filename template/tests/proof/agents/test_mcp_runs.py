"""Runs of an agent whose tools are an MCP server's: kills, approvals, isolation, a server away."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.agents.tools import IN_DOUBT
from tests.proof.agents.mcp_server import Shop, running_shop
from tests.proof.agents.scripted import Turn, script
from tests.service import Program, Service, eventually, service

ENDED = {"completed", "incomplete", "failed", "cancelled"}


@pytest.fixture(scope="module")
def served(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Shop]]:
    """A service with an agent, and the server of its tools; no worker runs yet."""
    with (
        running_shop() as shop,
        service(
            tmp_path_factory.mktemp("remote"),
            redis_url,
            modules=Path(__file__).parent / "mcp_modules",
            model_provider="tests.proof.agents.scripted",
            lease_seconds=1.5,
            sweep_seconds=0.2,
        ) as ready,
    ):
        ready.start("api", MCP_URL=shop.url)
        yield ready, shop


@pytest.fixture
def shop(served: tuple[Service, Shop]) -> Iterator[Shop]:
    """The server, which has seen nothing and works after the test again."""
    shop = served[1]
    shop.calls.clear()
    shop.messages.clear()
    shop.left = 0
    yield shop
    shop.held, shop.busy, shop.token = False, False, None


@pytest.fixture
def api(served: tuple[Service, Shop], shop: Shop) -> Iterator[Service]:
    """The service with a worker, which has no list of tools yet and ends with the test."""
    running = served[0]
    new_worker(running, shop)
    yield running
    for program in running.workers():
        program.stop()


@pytest.fixture
def http(api: Service) -> Iterator[httpx.Client]:
    with api.http(api.new_key()) as opened:
        yield opened


def new_worker(api: Service, shop: Shop) -> Program:
    return api.start("worker", MCP_URL=shop.url)


def begin(http: httpx.Client, *turns: Turn, **more: object) -> dict[str, Any]:
    """Start a run in the background, and return its response."""
    body = {"model": "remote", "input": script(*turns), "background": True, **more}
    answer = http.post("/v1/responses", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def end(http: httpx.Client, started: dict[str, Any]) -> dict[str, Any]:
    """Return the response of a run once it has ended."""

    def state() -> dict[str, Any]:
        found: dict[str, Any] = http.get(f"/v1/responses/{started['id']}").json()
        return found

    eventually(lambda: state()["status"] in ENDED)
    return state()


def items(response: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [item for item in response["output"] if item["type"] == kind]


@pytest.mark.parametrize(
    ("tool", "arguments", "calls", "output"),
    [("pay", {"cents": 3}, 2, "paid 3"), ("mail", {}, 1, IN_DOUBT)],
)
def test_a_killed_worker_repeats_a_call_with_its_key_only_where_it_may(
    api: Service,
    http: httpx.Client,
    shop: Shop,
    tool: str,
    arguments: dict[str, int],
    calls: int,
    output: str,
) -> None:
    shop.held = True
    run = begin(http, [(f"shop__{tool}", arguments)], "Done.")
    eventually(lambda: shop.keys(tool))
    api.workers()[0].stop(signal.SIGKILL)
    shop.held = False
    new_worker(api, shop)
    ended = end(http, run)
    (item,) = items(ended, "mcp_call")
    assert (ended["status"], item["output"]) == ("completed", output)
    assert shop.keys(tool) == [item["id"]] * calls


def test_a_call_is_told_with_its_server_and_the_name_that_it_has_there(
    http: httpx.Client, shop: Shop
) -> None:
    answer = http.post(
        "/v1/responses",
        json={"model": "remote", "input": script([("shop__find", {"order": 7})], "Done.")},
    )
    (item,) = items(answer.json(), "mcp_call")
    assert (item["server_label"], item["name"], item["status"]) == ("shop", "find", "completed")
    assert json.loads(item["output"])["order"] == 7
    assert shop.keys("find") == [item["id"]]


def test_a_call_waits_for_a_human_and_keeps_its_key(http: httpx.Client, shop: Shop) -> None:
    asked = end(http, begin(http, [("shop__discard", {"order": 7})], "Done."))
    (request,) = items(asked, "mcp_approval_request")
    assert (request["server_label"], request["name"]) == ("shop", "discard")
    assert not shop.calls
    agreed = {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": True,
    }
    run = begin(http, previous_response_id=asked["id"], input=[agreed])
    (item,) = items(end(http, run), "mcp_call")
    assert (item["server_label"], item["name"]) == ("shop", "discard")
    assert item["output"] == "no order 7 any more"
    assert shop.keys("discard") == [request["id"]]
    told = http.get(f"/v1/responses/{run['id']}", params={"stream": True}).text
    events = [json.loads(line[6:]) for line in told.splitlines() if line.startswith("data: {")]
    labels = {
        each["item"]["server_label"]
        for each in events
        if "item" in each and "server_label" in each["item"]
    }
    assert labels == {"shop"}


def test_nothing_of_a_caller_but_the_arguments_reaches_the_server(
    api: Service, http: httpx.Client, shop: Shop
) -> None:
    secret = {"cookie": "secret=1", "x-secret": "secret", "user-agent": "secret"}
    http.headers.update(secret)
    run = begin(
        http, [("shop__find", {"order": 7})], "Done.", user="secret", metadata={"a": "secret"}
    )
    assert end(http, run)["status"] == "completed"
    key = http.headers["authorization"].removeprefix("Bearer ")
    sent = json.dumps([(headers, body) for _, headers, body in shop.messages])
    assert shop.calls
    for private in ("secret", key, "tester", api.settings.service_slug, run["id"]):
        assert private not in sent


def test_a_run_waits_for_a_server_that_is_busy(http: httpx.Client, shop: Shop) -> None:
    shop.busy = True
    run = begin(http, [("shop__find", {"order": 7})], "Done.")
    eventually(lambda: shop.messages)
    assert http.get(f"/v1/responses/{run['id']}").json()["status"] not in ENDED
    shop.busy = False
    ended = end(http, run)
    assert (ended["status"], len(shop.calls)) == ("completed", 1)


def test_a_run_fails_by_name_where_its_server_refuses_it(http: httpx.Client, shop: Shop) -> None:
    shop.token = "none has it"
    ended = end(http, begin(http, [("shop__find", {"order": 7})], "Done."))
    assert ended["status"] == "failed"
    assert ended["error"]["message"].startswith("The MCP server shop answers with HTTP status 401")


def test_a_cancelled_run_ends_its_call_at_the_server(http: httpx.Client, shop: Shop) -> None:
    shop.held = True
    run = begin(http, [("shop__mail", {})], "Done.")
    eventually(lambda: shop.calls)
    http.post(f"/v1/responses/{run['id']}/cancel").raise_for_status()
    assert end(http, run)["status"] == "cancelled"
    eventually(lambda: shop.left)
