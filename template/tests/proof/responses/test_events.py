"""The grammar of a response's events, for any chunks that a model server may send."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from engine.errors import ModelRateLimited, ModelUnavailable
from engine.models.interface import Usage
from engine.responses.events import Translation, error_code
from engine.responses.schema import ResponseRequest, new_response

EVENT: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
REQUEST = ResponseRequest(model="m", input="Hello")

TEXT = st.text(min_size=1, max_size=5)
DELTAS = st.one_of(
    st.fixed_dictionaries({"content": TEXT}),
    st.fixed_dictionaries({"reasoning_content": TEXT}),
    st.fixed_dictionaries({"reasoning": TEXT}),
    st.fixed_dictionaries({"refusal": TEXT}),
    st.just({"role": "assistant", "content": ""}),
    st.just({}),
)


@st.composite
def tool_call(draw: st.DrawFn, index: int) -> list[dict[str, Any]]:
    head = {"index": index, "id": f"call_{index}", "function": {"name": "f", "arguments": ""}}
    pieces = draw(st.lists(st.text(max_size=4), max_size=3))
    rest = [{"index": index, "function": {"arguments": piece}} for piece in pieces]
    return [{"tool_calls": [part]} for part in [head, *rest]]


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    deltas = draw(st.lists(DELTAS, max_size=8))
    for index in range(draw(st.integers(0, 2))):
        deltas += draw(tool_call(index))
    return deltas


@settings(deadline=None)
@given(answers(), st.sampled_from(["stop", "length", "tool_calls", "content_filter", None]))
def test_any_chunks_make_events_that_keep_the_grammar(
    deltas: list[dict[str, Any]], finish: str | None
) -> None:
    events = list(read(translated(deltas, finish)))
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    opened: dict[str, int] = {}
    for event in events:
        EVENT.validate_python(event)
        if event["type"] == "response.output_item.added":
            assert event["output_index"] == len(opened)
            opened[event["item"]["id"]] = event["output_index"]
        elif "item_id" in event:
            assert opened[event["item_id"]] == event["output_index"] == len(opened) - 1
    ended = [e["item"]["id"] for e in events if e["type"] == "response.output_item.done"]
    assert ended == list(opened) == [item["id"] for item in events[-1]["response"]["output"]]


@settings(deadline=None)
@given(answers())
def test_the_clients_own_snapshot_is_the_final_response(deltas: list[dict[str, Any]]) -> None:
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=[], text_format=omit)
    *events, last = read(translated(deltas, "stop"))
    for event in (*events, last):
        state.handle_event(EVENT.validate_python(event))
    final = Response.model_validate(last["response"])
    assert state._completed_response
    text = state._completed_response.output_text
    assert text == final.output_text == "".join(each.get("content", "") for each in deltas)


def test_a_whole_answer_makes_the_same_items_as_its_stream() -> None:
    call = {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"reasoning_content": "Hm", "content": "Hello", "tool_calls": [call]}
    whole = Translation(new_response(REQUEST))
    whole.add_whole(json.dumps({"choices": [{"message": message}]}).encode())
    whole.end()
    streamed = list(read(translated([message], "stop")))[-1]["response"]
    assert without_ids(whole.response["output"]) == without_ids(streamed["output"])


def test_parallel_calls_are_items_of_their_own() -> None:
    calls = [
        {
            "tool_calls": [
                {"index": at, "id": f"c{at}", "function": {"name": "f", "arguments": "{}"}}
            ]
        }
        for at in range(2)
    ]
    output = list(read(translated(calls, "tool_calls")))[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["c0", "c1"]


def test_calls_of_a_server_without_indexes_are_told_apart_by_their_ids() -> None:
    parts = [{"id": f"c{at}", "function": {"name": "f", "arguments": "{}"}} for at in range(2)]
    output = list(read(translated([{"tool_calls": parts}], "stop")))[-1]["response"]["output"]
    assert [item["call_id"] for item in output] == ["c0", "c1"]


def test_a_call_without_an_id_gets_one() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}
    output = list(read(translated([call], "stop")))[-1]["response"]["output"]
    assert output[0]["call_id"].startswith("call_")


def test_usage_of_the_server_is_told_with_its_details() -> None:
    translation = Translation(new_response(REQUEST))
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 3},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    translation.add(sse({"choices": [], "usage": usage}))
    translation.count(Usage(1, 1))
    told = translation.response["usage"]
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (5, 7, 12)
    assert told["input_tokens_details"]["cached_tokens"] == 3
    assert told["output_tokens_details"]["reasoning_tokens"] == 2


def test_a_failure_closes_the_open_item_before_it() -> None:
    translation = Translation(new_response(REQUEST))
    events = translation.begin() + translation.add(sse(chunk({"content": "Half "})))
    events += translation.fail(ModelUnavailable("It broke off.")) + translation.last()
    *_, done, failed = read(events)
    assert done["item"]["status"] == "incomplete"
    assert failed["type"] == "response.failed"
    assert failed["response"]["error"] == {"code": "server_error", "message": "It broke off."}


def test_an_attempt_goes_on_where_a_killed_one_broke_off() -> None:
    first = Translation({**new_response(REQUEST), "status": "queued"})
    events = first.begin() + first.progress()
    events += first.add(sse(chunk({"reasoning": "Hm"}), chunk({"content": "Half "})))
    second = Translation(dict(first.response, output=[]))
    for event in read(events):
        second.replay(event)
    more = second.break_off() + second.add(sse(chunk({"content": "Whole."})))
    more += second.end() + second.last()
    told = list(read(events + more))
    assert [each["sequence_number"] for each in told] == list(range(len(told)))
    added = [e["output_index"] for e in told if e["type"] == "response.output_item.added"]
    done = [e["output_index"] for e in told if e["type"] == "response.output_item.done"]
    assert added == done == [0, 1, 2]
    (item,) = told[-1]["response"]["output"]
    assert item["content"][0]["text"] == "Whole."


def test_no_chat_is_an_error_of_the_model_server() -> None:
    with pytest.raises(ModelUnavailable):
        Translation(new_response(REQUEST)).add(b'data: {"choices": 7}\n\n')


def test_errors_have_the_codes_of_openais_list() -> None:
    assert error_code(ModelRateLimited("Slowly.")) == "rate_limit_exceeded"
    assert error_code(ModelUnavailable("Away.")) == "server_error"


def without_ids(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: each for name, each in item.items() if name != "id"} for item in items]


def translated(deltas: Iterable[dict[str, Any]], finish: str | None) -> bytes:
    translation = Translation(new_response(REQUEST))
    events = translation.begin()
    for delta in deltas:
        events += translation.add(sse(chunk(delta)))
    events += translation.add(sse(chunk({}, finish)))
    return events + translation.end() + translation.last()


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in chunks)


def read(events: bytes) -> Iterable[dict[str, Any]]:
    for block in events.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        yield event
