"""This service before another one that answers responses itself, with the official client."""

import json
from collections.abc import Iterator

import pytest
from openai import OpenAI
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.sql.tables import ResponseRow
from tests.api.test_responses import WEATHER
from tests.service import Service, service

MODEL = "simulated-chat"


@pytest.fixture(scope="module")
def behind(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service that has the model."""
    with service(tmp_path_factory.mktemp("behind"), redis_url) as running:
        running.start("api")
        yield running


@pytest.fixture(scope="module")
def native(
    behind: Service, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with service(
        tmp_path_factory.mktemp("native"),
        redis_url,
        service_slug="front",
        model_provider="openai",
        openai_base_url=f"{behind.url}/v1",
        openai_api_key=behind.new_key(),
        openai_responses="native",
    ) as running:
        running.start("api", "worker")
        yield running


@pytest.fixture
def client(native: Service) -> Iterator[OpenAI]:
    with native.client(native.new_key(), max_retries=0) as opened:
        yield opened


def stored(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(ResponseRow)) or 0


@pytest.fixture(autouse=True)
def _nothing_is_kept_behind(behind: Service) -> Iterator[None]:
    yield
    assert behind.in_database(stored) == 0


def test_a_stream_gives_the_same_as_a_whole_response(client: OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input="Hello", metadata={"a": "b"})
    with client.responses.stream(model=MODEL, input="Hello", metadata={"a": "b"}) as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert final.output_text == whole.output_text
    assert final.metadata == whole.metadata == {"a": "b"}
    assert final.usage == whole.usage
    assert client.responses.retrieve(whole.id) == whole
    assert client.responses.retrieve(final.id).output_text == final.output_text


def test_a_tool_loop_runs_over_stored_turns(client: OpenAI) -> None:
    asked = client.responses.create(model=MODEL, input="Is it warm?", tools=[WEATHER])
    (call,) = [each for each in asked.output if each.type == "function_call"]
    assert "city" in json.loads(call.arguments)
    answered = client.responses.create(
        model=MODEL,
        previous_response_id=asked.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "20 degrees"}],
        tools=[WEATHER],
    )
    assert answered.output_text
    assert answered.previous_response_id == asked.id


def test_a_background_response_is_relayed_to_its_readers(client: OpenAI) -> None:
    with client.responses.create(
        model=MODEL, input="Hello", background=True, stream=True
    ) as stream:
        events = list(stream)
    assert [each.sequence_number for each in events] == list(range(len(events)))
    assert [each.type for each in events[:3]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
    ]
    assert events[-1].type == "response.completed"
    assert client.responses.retrieve(events[-1].response.id).background
