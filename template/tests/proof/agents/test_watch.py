"""Agents at work are seen: in metrics, and as one trace from the request to model and tools."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from aiohttp import web
from openai import OpenAI

from tests.proof.agents.scripted import Scripted, script
from tests.proof.api.test_metrics import samples
from tests.service import Program, Service, eventually, free_port, service
from tests.upstream import modelling, serving_in_thread

MODULES = Path(__file__).with_name("modules")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
MADE_UP = "made_up_by_the_model"
REFUND = ("refund", {"order": 1, "cents": 5})
LONG = script([("wait", {"seconds": 3}), ("email", {"to": "ada"}), REFUND], "Done.")


@pytest.fixture(scope="module")
def heard() -> list[str | None]:
    """The traces that the model server was told."""
    return []


@pytest.fixture(scope="module")
def at_work(
    redis_url: str, tmp_path_factory: pytest.TempPathFactory, heard: list[str | None]
) -> Iterator[Service]:
    """A service that asks a model server, and the worker of which tells its metrics."""
    answer = modelling(Scripted())  # type: ignore[arg-type]  # it embeds nothing

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            heard.append(request.headers.get("traceparent"))
        return await answer(request)

    with (
        serving_in_thread(handler) as url,
        service(
            tmp_path_factory.mktemp("watched"),
            redis_url,
            modules=MODULES,
            model_provider="openai",
            openai_base_url=url,
            worker_metrics_port=free_port(),
            lease_seconds=1.5,
            sweep_seconds=0.2,
        ) as ready,
    ):
        ready.start("api", "worker")
        yield ready


@pytest.fixture(scope="module")
def client(at_work: Service) -> Iterator[OpenAI]:
    with at_work.client(at_work.new_key(), max_retries=0) as official:
        yield official


def metrics(at_work: Service) -> str:
    """Return what the worker tells now."""
    return httpx.get(f"http://127.0.0.1:{at_work.settings.worker_metrics_port}/metrics").text


def steps(at_work: Service) -> dict[tuple[str, ...], float]:
    """Return the steps so far by agent, kind and outcome."""
    return samples(metrics(at_work), "app_agent_steps_total")


def test_model_server_logs_and_tools_have_the_trace_of_the_request(
    at_work: Service, client: OpenAI, heard: list[str | None]
) -> None:
    heard.clear()
    sent = {"traceparent": TRACE, "x-request-id": "req-of-the-caller"}
    asked = script([("trace", {})], "Done.")
    response = client.responses.create(model="traced", input=asked, extra_headers=sent)
    (call,) = [item for item in response.output if item.type == "mcp_call"]
    assert call.output == TRACE
    assert heard == [TRACE, TRACE]
    log = at_work.workers()[0].text
    eventually(lambda: "app.features.traced [req-of-the-caller] traced" in log())


def test_steps_are_counted_by_their_outcomes(at_work: Service, client: OpenAI) -> None:
    turn = [("look_up", {"order": 1}), ("look_up", {"order": 4}), (MADE_UP, {}), REFUND]
    asked = client.responses.create(model="refunds", input=script(turn, "Done."))
    waiting = asked.output[-1].id
    denial = {"type": "mcp_approval_response", "approval_request_id": waiting, "approve": False}
    client.responses.create(
        model="refunds",
        previous_response_id=asked.id,
        input=[denial],  # type: ignore[list-item]
    )
    expected = {
        ("model", "done"): 2,
        ("tool", "done"): 1,
        ("tool", "failed"): 2,
        ("tool", "approval"): 1,
        ("tool", "denied"): 1,
    }

    def counted() -> bool:
        found = steps(at_work)
        return {key: found.get(("refunds", *key)) for key in expected} == expected

    eventually(counted)
    seconds = samples(metrics(at_work), "app_agent_step_seconds_count")
    assert (seconds["refunds", "model"], seconds["refunds", "tool"]) == (2, 3)


def test_no_metric_has_a_name_that_the_model_made_up(at_work: Service, client: OpenAI) -> None:
    client.responses.create(model="refunds", input=script([(MADE_UP, {})], "Done."))
    assert MADE_UP not in metrics(at_work)


def test_a_call_that_is_begun_again_is_counted(at_work: Service, client: OpenAI) -> None:
    started = client.responses.create(model="refunds", background=True, input=LONG)
    victim = at_work.workers()[0]
    eventually(lambda: has_begun(at_work))
    survive(at_work, victim)
    eventually(lambda: client.responses.retrieve(started.id).status == "completed")
    told = metrics(at_work)
    assert samples(told, "app_agent_repeats_total")["refunds",] == 1


def has_begun(at_work: Service) -> bool:
    """Whether the call that takes long is under way, and the short one has ended."""
    file = at_work.folder / "effects.txt"
    return file.exists() and {"wait", "email"} <= set(file.read_text().split())


def survive(at_work: Service, victim: Program) -> None:
    """Kill a worker and start another one."""
    victim.stop(signal.SIGKILL)
    at_work.start("worker")


def test_calls_that_wait_for_a_human_are_told(at_work: Service, client: OpenAI) -> None:
    client.responses.create(model="refunds", input=script([REFUND], "Done."))

    def told() -> bool:
        waiting = samples(metrics(at_work), "app_agent_approvals_waiting")
        return waiting.get(("refunds",), 0) >= 1

    eventually(told)
