"""The agent of the guide as the official client sees it, on a real server."""

from collections.abc import Iterator

import pytest
from openai import OpenAI
from openai.types.responses import Response

from tests.jobs.modules import AGENTS_GUIDE, documented_agent
from tests.service import eventually, service

pytestmark = pytest.mark.skipif(not AGENTS_GUIDE.exists(), reason=f"{AGENTS_GUIDE} was deleted")

AGENT = "refunds"
QUESTION = "What is your refund_policy?"


@pytest.fixture(scope="module")
def client(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "refunds.py").write_text(documented_agent())
    with service(tmp_path_factory.mktemp("agents"), redis_url, modules=modules) as running:
        running.start("api", "worker")
        with running.client(running.new_key(), max_retries=0) as official:
            yield official


def called(response: Response) -> list[tuple[str, str | None]]:
    return [(each.name, each.status) for each in response.output if each.type == "mcp_call"]


def test_an_agent_is_a_model(client: OpenAI) -> None:
    assert AGENT in [model.id for model in client.models.list()]


def test_a_whole_response_has_the_calls_and_the_text(client: OpenAI) -> None:
    response = client.responses.create(model=AGENT, input=QUESTION)
    assert called(response) == [("refund_policy", "completed")]
    assert response.output_text


def test_a_stream_tells_of_each_call(client: OpenAI) -> None:
    with client.responses.stream(model=AGENT, input=QUESTION) as stream:
        told = [each.type for each in stream]
        final = stream.get_final_response()
    assert told.index("response.mcp_call.completed") < told.index("response.output_text.delta")
    assert called(final) == [("refund_policy", "completed")]


def test_a_run_in_the_background_is_polled_to_its_end(client: OpenAI) -> None:
    started = client.responses.create(model=AGENT, input=QUESTION, background=True)
    eventually(lambda: client.responses.retrieve(started.id).status == "completed")
    assert called(client.responses.retrieve(started.id))


def test_a_denied_call_is_not_run(client: OpenAI) -> None:
    asking = client.responses.create(model=AGENT, input="Please refund order 1.")
    (request,) = [each for each in asking.output if each.type == "mcp_approval_request"]
    denied = client.responses.create(
        model=AGENT,
        previous_response_id=asking.id,
        input=[
            {
                "type": "mcp_approval_response",
                "approval_request_id": request.id,
                "approve": False,
            }
        ],
    )
    assert called(denied) == [("refund", "failed")]
    assert denied.output_text


def test_a_chat_has_the_text(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=AGENT, messages=[{"role": "user", "content": QUESTION}]
    )
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
