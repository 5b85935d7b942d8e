"""Every parameter of the installed official client: absent, null, valid, and of a wrong type.

The schema is the client's own types, so that a newer client brings its new parameters along.
"""

import json
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import (
    Any,
    Literal,
    NotRequired,
    Required,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import httpx
import pytest
from openai.types import batch_create_params, completion_create_params, embedding_create_params
from openai.types.chat import completion_create_params as chat_create_params
from openai.types.file_create_params import FileCreateParams
from openai.types.responses import response_create_params

from engine.body import read_body
from engine.models.interface import ChatRequest
from tests.lines import chats
from tests.service import Service

Json = dict[str, Any]
Type: TypeAlias = Any
CHAT, TEXT, VECTORS, RESPONSES, BATCHES = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/batches",
)
MESSAGES = [{"role": "user", "content": "Hello"}]
SCHEMAS = {
    CHAT: chat_create_params.CompletionCreateParamsNonStreaming,
    TEXT: completion_create_params.CompletionCreateParamsNonStreaming,
    VECTORS: embedding_create_params.EmbeddingCreateParams,
    RESPONSES: response_create_params.ResponseCreateParamsNonStreaming,
    BATCHES: batch_create_params.BatchCreateParams,
}
BASES: dict[str, Json] = {
    CHAT: {"model": "simulated-chat", "messages": MESSAGES},
    TEXT: {"model": "simulated-chat", "prompt": "Once"},
    VECTORS: {"model": "simulated-embeddings", "input": "Hello"},
    RESPONSES: {"model": "simulated-chat", "input": "Hello"},
    BATCHES: {"endpoint": CHAT, "completion_window": "24h"},
}
WRONG = ({"no": ["such"]}, "no such", 5, [["no such"]])
"""Of these one is of a wrong type for any parameter."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of one endpoint."""

    url: str
    name: str
    type: Type

    def __str__(self) -> str:
        return f"{self.url.removeprefix('/v1/')} {self.name}"


def parameters() -> Iterator[Parameter]:
    for url, schema in SCHEMAS.items():
        for name, kind in get_type_hints(schema).items():
            yield Parameter(url, name, kind)


EVERY = list(parameters())


def origin(kind: Type) -> Type:
    return get_origin(kind)


def members(kind: Type) -> list[Type]:
    """Return what a type may be, without None."""
    if origin(kind) in (Required, NotRequired):
        return members(get_args(kind)[0])
    if origin(kind) in (Union, types.UnionType):
        return [each for member in get_args(kind) for each in members(member)]
    return [] if kind is type(None) else [kind]


def is_typed(kind: Type) -> bool:
    return hasattr(kind, "__required_keys__")  # the client's are of typing_extensions


def valid(kind: Type) -> Type:
    """Return a value of the type, with as little in it as it must have."""
    first = members(kind)[0]
    arguments = get_args(first)
    if is_typed(first):
        hints = get_type_hints(first, include_extras=True).items()
        return {name: valid(each) for name, each in hints if origin(each) is Required}
    if origin(first) is Literal:
        return arguments[0]
    if origin(first) is dict:
        return {"1": valid(arguments[1])}
    if arguments:
        return [valid(arguments[0])]
    return {str: "x", int: 1, float: 0.5, bool: True}.get(first, {})


def json_type(kind: Type) -> Type:
    if is_typed(kind) or origin(kind) is dict:
        return dict
    if origin(kind) is Literal:
        return type(get_args(kind)[0])
    return list if get_args(kind) else kind


def wrong(kind: Type) -> Type:
    allowed = {json_type(member) for member in members(kind)}
    return next(value for value in WRONG if type(value) not in allowed)


@pytest.fixture(scope="module")
def http(on_sqlite: Service) -> Iterator[httpx.Client]:
    with on_sqlite.http(on_sqlite.new_key("schema", requests_per_minute=10**6)) as client:
        yield client


@pytest.fixture(scope="module", autouse=True)
def _uploaded(http: httpx.Client) -> None:
    file = http.post("/v1/files", files={"file": chats(1)}, data={"purpose": "batch"}).json()
    BASES[BATCHES]["input_file_id"] = file["id"]


def without(parameter: Parameter) -> Json:
    return {key: value for key, value in BASES[parameter.url].items() if key != parameter.name}


def error_of(answer: httpx.Response) -> Json:
    error: Json = answer.json()["error"]
    return error


@pytest.mark.parametrize("parameter", EVERY, ids=str)
def test_null_is_as_good_as_absent(http: httpx.Client, parameter: Parameter) -> None:
    absent = http.post(parameter.url, json=without(parameter))
    null = http.post(parameter.url, json={**without(parameter), parameter.name: None})
    assert null.status_code == absent.status_code
    if parameter.name in BASES[parameter.url]:
        assert error_of(null) == error_of(absent)
        assert (absent.status_code, error_of(absent)["param"]) == (400, parameter.name)
    else:
        assert absent.status_code == 200


@pytest.mark.parametrize("parameter", EVERY, ids=str)
def test_a_valid_value_is_accepted_or_refused_by_name(
    http: httpx.Client, parameter: Parameter
) -> None:
    base = BASES[parameter.url]
    values = [valid(member) for member in members(parameter.type)]
    for value in [base[parameter.name]] if parameter.name in base else values:
        answer = http.post(parameter.url, json={**base, parameter.name: value})
        refused = answer.status_code in {400, 404} and error_of(answer)["param"] == parameter.name
        assert answer.status_code == 200 or refused, answer.text


@pytest.mark.parametrize("parameter", EVERY, ids=str)
def test_a_wrong_type_is_refused_by_name(http: httpx.Client, parameter: Parameter) -> None:
    body = {**without(parameter), parameter.name: wrong(parameter.type)}
    answer = http.post(parameter.url, json=body)
    assert answer.status_code == 400
    assert str(error_of(answer)["param"]).startswith(parameter.name)


@pytest.mark.parametrize("name", get_type_hints(FileCreateParams))
@pytest.mark.parametrize("value", [None, "no such"])
def test_a_form_is_refused_by_the_name_of_its_wrong_field(
    http: httpx.Client, name: str, value: str | None
) -> None:
    fields: Json = {"purpose": "batch", "expires_after[anchor]": None}
    form = {**fields, name: value}
    files = {"file": chats(1)} if name != "file" else {"other": chats(1)}
    sent = {key: each for key, each in form.items() if each is not None}
    answer = http.post("/v1/files", files=files, data=sent)
    if name == "expires_after" and value is None:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, error_of(answer)["param"]) == (400, name)


def nulls(value: Type, path: str = "") -> Iterator[str]:
    if value is None:
        yield path
    items: Iterable[tuple[object, Any]] = ()
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        yield from nulls(each, f"{path}/{key}")


def test_a_request_to_a_provider_has_no_nulls_but_the_callers_own() -> None:
    schema = {"type": "object", "properties": {"a": {"const": None}}}
    call = {"role": "assistant", "content": None, "refusal": None, "function_call": None}
    tool = {"type": "function", "function": {"name": "f", "strict": None, "parameters": schema}}
    body = {
        **dict.fromkeys(get_type_hints(SCHEMAS[CHAT])),
        "model": "m",
        "messages": [call],
        "stream_options": {"include_usage": None},
        "tools": [tool],
        "vendors_own": None,
    }
    request = read_body(ChatRequest, json.dumps(body).encode())
    sent = json.loads(request.sent()[1].model_dump_json(exclude_unset=True))
    assert list(nulls(sent)) == [
        "/messages/0/content",
        "/tools/0/function/parameters/properties/a/const",
    ]
