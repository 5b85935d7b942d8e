"""Malformed requests for responses are told by their place; fields of chats are not passed over."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engine.responses.schema import echoed_item
from tests.service import Service

TOOL: dict[str, Any] = {"type": "function", "name": "f", "parameters": {}}


@pytest.fixture(scope="module")
def http(on_sqlite: Service) -> Iterator[httpx.Client]:
    with on_sqlite.http(on_sqlite.new_key("malformed", requests_per_minute=10**6)) as client:
        yield client


def refusal(http: httpx.Client, **fields: object) -> tuple[str, str]:
    """Return the parameter and the code of the 400 that a request gets."""
    answer = http.post("/v1/responses", json={"model": "simulated-chat", "input": "Hi", **fields})
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    return error["param"], error["code"]


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("tool_choice", {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "mode": 5}}),
        ("tool_choice", {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": 5}}),
        ("tools[0]", {"tools": [{**TOOL, "parameters": "none"}]}),
        ("tools[0]", {"tools": [{**TOOL, "name": 5}]}),
        ("seed", {"seed": "x"}),
        ("stop", {"stop": {"a": 1}}),
        ("frequency_penalty", {"frequency_penalty": 9}),
        ("logit_bias", {"logit_bias": 5}),
        ("input[0].content[0]", {"input": [{"role": "user", "content": [5]}]}),
        ("input[0].role", {"input": [{"content": "Hi"}]}),
        ("input", {"input": [{"type": "item_reference"}]}),
        ("text.format.schema", {"text": {"format": {"type": "json_schema", "name": "x"}}}),
    ],
)
def test_a_malformed_part_is_told_by_its_place(
    http: httpx.Client, param: str, fields: dict[str, Any]
) -> None:
    assert refusal(http, **fields)[0].startswith(param)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_completion_tokens", 5),
        ("max_tokens", 5),
        ("messages", [{"role": "user", "content": "Hi"}]),
        ("n", 2),
        ("reasoning_effort", "low"),
        ("response_format", {"type": "json_object"}),
        ("verbosity", "low"),
    ],
)
def test_a_field_of_a_chat_is_refused_where_it_would_be_passed_over(
    http: httpx.Client, field: str, value: object
) -> None:
    assert refusal(http, **{field: value}) == (field, "unsupported_parameter")


@pytest.mark.parametrize("part", [{"text": "without a type"}, {"type": ["x"]}, "no object"])
def test_an_input_is_listed_whatever_its_server_took(part: object) -> None:
    item = {"type": "message", "role": "user", "content": [part]}
    assert echoed_item(item)["content"] == [part]
