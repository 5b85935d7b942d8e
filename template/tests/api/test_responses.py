"""Responses as the official client sees them, on a real server."""

import json
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import FunctionToolParam, Response, ResponseStreamEvent
from pydantic import TypeAdapter

from tests.batches import ended, lines_of, submit
from tests.lines import jsonl, line
from tests.service import Service

MODEL = "simulated-chat"
WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def test_a_whole_response_has_text_and_usage(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="Hello")
    assert response.status == "completed"
    assert response.output_text
    assert response.usage
    assert response.usage.total_tokens > 0


def test_a_stream_gives_the_same_text_in_pieces(client: OpenAI) -> None:
    whole = client.responses.create(model=MODEL, input="Hello")
    with client.responses.stream(model=MODEL, input="Hello") as stream:
        pieces = [each.delta for each in stream if each.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(pieces) == final.output_text == whole.output_text


def test_every_event_has_its_number_and_fits_the_clients_types(live: Service, key: str) -> None:
    events = streamed(live, key, input="Hello", tools=[WEATHER])
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    assert events[0]["type"] == "response.created"
    assert events[-1]["type"] == "response.completed"
    for each in events:
        EVENT.validate_python(each, strict=False)


def test_a_tool_loop_ends_with_a_text(client: OpenAI) -> None:
    asked = client.responses.create(model=MODEL, input="Is it warm?", tools=[WEATHER])
    (call,) = [each for each in asked.output if each.type == "function_call"]
    assert "city" in json.loads(call.arguments)
    answered = client.responses.create(
        model=MODEL,
        previous_response_id=asked.id,
        tools=[WEATHER],
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "21 °C"}],
    )
    assert answered.output_text


def test_a_text_has_the_form_of_its_schema(client: OpenAI) -> None:
    response = client.responses.create(
        model=MODEL,
        input="Where?",
        text={
            "format": {
                "type": "json_schema",
                "name": "place",
                "schema": {
                    "type": "object",
                    "properties": {"city": {"type": "string"}},
                    "required": ["city"],
                },
            }
        },
    )
    assert "city" in json.loads(response.output_text)


def test_a_cut_off_answer_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model=MODEL, input="Hello", max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"


def test_a_stored_response_is_read_listed_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Hello", metadata={"colour": "blue"})
    assert client.responses.retrieve(made.id) == made
    (item,) = client.responses.input_items.list(made.id).data
    assert item.type == "message"
    client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_a_response_that_is_not_stored_is_not_found(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Hello", store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(made.id)


def test_an_item_is_referred_to_by_its_id(client: OpenAI) -> None:
    made = client.responses.create(model=MODEL, input="Hello")
    again = client.responses.create(
        model=MODEL,
        input=[
            {"type": "item_reference", "id": made.output[0].id},  # type: ignore[list-item, misc]
            {"role": "user", "content": "Again."},
        ],
    )
    listed = client.responses.input_items.list(again.id, order="asc").data
    assert [each.type for each in listed] == ["message", "message"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", {"id": "pmpt_1"}),
        ("truncation", "auto"),
        ("context_management", [{"type": "compaction"}]),
        ("background_options", {"completion_window": "8h"}),
        ("tools", [{"type": "web_search"}]),
        ("input", [{"role": "user", "content": [{"type": "input_file", "file_id": "file_1"}]}]),
    ],
)
def test_a_field_that_cannot_be_honoured_is_refused_by_name(
    client: OpenAI, field: str, value: object
) -> None:
    asked: dict[str, Any] = {"input": "Hello", field: value}
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, **asked)
    assert caught.value.code == "unsupported_parameter"
    assert (caught.value.param or "").startswith(field)


def test_the_tokens_of_an_input_are_estimated(client: OpenAI) -> None:
    few = client.responses.input_tokens.count(model=MODEL, input="Hello")
    many = client.responses.input_tokens.count(model=MODEL, input="Hello " * 100)
    assert 0 < few.input_tokens < many.input_tokens


def streamed(live: Service, key: str, **body: object) -> list[dict[str, Any]]:
    """Return the events of a response as they stand on the wire."""
    with live.http(key) as http:
        answer = http.post("/v1/responses", json={"model": MODEL, "stream": True, **body})
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block.split("\n") for block in answer.text.strip().split("\n\n")]
    assert all(len(block) == 2 for block in blocks)
    events = [json.loads(data.removeprefix("data: ")) for _, data in blocks]
    assert [f"event: {each['type']}" for each in events] == [name for name, _ in blocks]
    Response.model_validate(events[-1]["response"])
    return events


def test_a_line_of_a_batch_is_answered_as_a_response(client: OpenAI) -> None:
    asked = {"model": MODEL, "input": "Hello"}
    lines = [line(name, asked) | {"url": "/v1/responses"} for name in ("a", "b")]
    batch = ended(client, submit(client, jsonl(lines), "/v1/responses"))
    answers = lines_of(client, batch.output_file_id)
    assert {each["response"]["body"]["status"] for each in answers} == {"completed"}
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(answers[0]["response"]["body"]["id"])


@pytest.mark.parametrize(
    ("field", "value"),
    [("background", True), ("conversation", "conv_1"), ("store", True), ("stream", True)],
)
def test_a_line_of_a_batch_keeps_nothing(client: OpenAI, field: str, value: object) -> None:
    asked = {"model": MODEL, "input": "Hello", field: value}
    lines = [line("a", asked) | {"url": "/v1/responses"}]
    batch = ended(client, submit(client, jsonl(lines), "/v1/responses"))
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert field in str(batch.errors.data[0].message)


def test_a_websocket_is_told_to_use_post(live: Service, key: str) -> None:
    with live.http(key) as http:
        answer = http.get("/v1/responses", headers={"upgrade": "websocket"})
    assert answer.status_code == 426
