"""A response's request as a chat: what is said to a model server, and what it is not told."""

import json
from typing import Any

import pytest

from engine.errors import InvalidRequest, Unsupported
from engine.models.interface import ChatRequest
from engine.models.quota import cost_of
from engine.responses.events import Translation
from engine.responses.schema import ResponseRequest, new_response
from engine.responses.translation import chat_fields

Json = dict[str, Any]
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}


def chat(items: list[Json] | None = None, **fields: object) -> Json:
    request = ResponseRequest.model_validate({"model": "m", "input": items or "Hello", **fields})
    return chat_fields(request, request.items)


def message(role: str, content: object) -> Json:
    return {"type": "message", "role": role, "content": content}


def call(name: str) -> Json:
    return {"type": "function_call", "call_id": name, "name": "f", "arguments": "{}"}


def test_text_instructions_and_roles_become_messages() -> None:
    items = [
        message("developer", "Be kind."),
        {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        message(
            "assistant",
            [{"type": "output_text", "text": "Hi"}, {"type": "output_text", "text": "!"}],
        ),
    ]
    assert chat(items, instructions="Be short.")["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi!"},
    ]


def test_all_calls_of_a_turn_and_the_text_before_them_are_one_message() -> None:
    output = {"type": "function_call_output", "call_id": "a", "output": "1"}
    items = [message("assistant", "I look."), call("a"), call("b"), output, call("c")]
    first, result, second = chat(items)["messages"]
    assert first["content"] == "I look."
    assert [each["id"] for each in first["tool_calls"]] == ["a", "b"]
    assert result == {"role": "tool", "tool_call_id": "a", "content": "1"}
    assert [each["id"] for each in second["tool_calls"]] == ["c"]


def test_reasoning_is_no_content() -> None:
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
    assert len(chat([message("user", "Hello"), reasoning])["messages"]) == 1


def test_an_image_is_passed_on_by_its_url() -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
    (said,) = chat([message("user", [{"type": "input_text", "text": "?"}, image])])["messages"]
    assert said["content"][1]["image_url"] == {"url": image["image_url"], "detail": "auto"}


def test_formats_tools_and_limits_have_the_names_of_a_chat() -> None:
    form = {"type": "json_schema", "name": "place", "schema": {"type": "object"}, "strict": True}
    asked = chat(
        text={"format": form, "verbosity": "low"},
        tools=[FUNCTION],
        tool_choice={"type": "function", "name": "f"},
        max_output_tokens=7,
        reasoning={"effort": "low"},
        top_k=5,
    )
    assert asked["response_format"]["json_schema"] == {
        k: form[k] for k in ("name", "schema", "strict")
    }
    assert asked["tools"][0]["function"]["name"] == "f"
    assert asked["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    named = ("max_completion_tokens", "reasoning_effort", "verbosity", "top_k")
    assert [asked[name] for name in named] == [7, "low", "low", 5]


def test_only_the_allowed_tools_are_offered() -> None:
    allowed = {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "g"}],
    }
    asked = chat(tools=[FUNCTION, {**FUNCTION, "name": "g"}], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["g"]
    assert asked["tool_choice"] == "required"


def test_a_server_learns_neither_ids_nor_metadata_nor_the_chain() -> None:
    items = [{**message("user", "Hello"), "id": "msg_ours"}]
    asked = chat(items, previous_response_id="resp_ours", metadata={"name": "secret"}, store=True)
    sent = ChatRequest.model_validate(asked).model_dump_json(exclude_unset=True)
    assert not any(word in sent for word in ("ours", "secret", "metadata", "store", "previous"))


@pytest.mark.parametrize(
    ("item", "param"),
    [
        (message("user", [{"type": "input_file", "file_id": "f"}]), "input[1].content[0]"),
        ({"type": "web_search_call"}, "input[1]"),
        (message("robot", "Hello"), "input[1].role"),
        ({"type": "function_call", "name": "f", "arguments": "{}"}, "input[1].call_id"),
        (message("user", 7), "input[1].content"),
        (message("user", ["Hello"]), "input[1].content[0]"),
    ],
)
def test_a_bad_item_is_named_by_its_place(item: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat([message("user", "Hello"), item])
    assert caught.value.param == param


def test_a_choice_without_its_tool_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        chat(tool_choice="required")
    with pytest.raises(Unsupported):
        chat(tools=[{"type": "web_search"}])


def test_no_input_is_told() -> None:
    with pytest.raises(InvalidRequest, match="no input"):
        chat_fields(ResponseRequest(model="m"), [])


def test_a_nul_in_the_previous_id_is_refused_before_the_database() -> None:
    with pytest.raises(ValueError, match="pattern"):
        ResponseRequest(model="m", input="Hello", previous_response_id="resp_\0")


def test_an_answer_goes_back_into_the_chat_as_it_came() -> None:
    said = {"role": "assistant", "content": "I look.", "tool_calls": [tool("a"), tool("b")]}
    translation = Translation(new_response(ResponseRequest(model="m", input="Hello")))
    translation.add_whole(json.dumps({"choices": [{"message": said}]}).encode())
    translation.end()
    assert chat(translation.response["output"])["messages"] == [said]


def tool(name: str) -> Json:
    return {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}


def test_the_tokens_at_the_door_are_those_of_the_whole_input() -> None:
    long = "word " * 400
    output = {"type": "function_call_output", "call_id": "a", "output": long}
    items = [message("user", [{"type": "input_text", "text": long}]), output]
    request = ResponseRequest(model="m", input=items, instructions=long)
    assert cost_of(request) > 3 * len(long) // 4
    assert cost_of(ResponseRequest(model="m", input="Hello", max_output_tokens=500)) == 500
