"""`/openapi.json` describes each answer, and its examples can be sent as they are."""

from typing import Any

import pytest
from pydantic import BaseModel

from app.api.chat import ChatCompletion
from app.api.completions import TextCompletion
from app.api.embeddings import EmbeddingList
from app.api.openapi import MODELS
from engine.models import local, simulated
from tests.endpoints import endpoints
from tests.service import Service

ODD: dict[str, dict[str, Any]] = {
    "nothing": {},
    "no JSON": {"content": "{"},
    "an empty object": {"json": {}},
    "a query out of range": {"params": {"limit": 0, "days": 0}},
    "NUL in the URL": {"params": {"after": "\0"}},
    "no time": {"headers": {"x-request-timeout": "0"}},
    "an empty idempotency key": {"headers": {"idempotency-key": ""}},
}
ENVELOPE = {"$ref": "#/components/schemas/ErrorAnswer"}


@pytest.fixture(scope="module")
def paths(on_sqlite: Service) -> dict[str, Any]:
    with on_sqlite.http() as http:
        found: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    return found


@pytest.mark.parametrize("known", [True, False], ids=["a caller", "a stranger"])
@pytest.mark.parametrize("odd", ODD.values(), ids=ODD.keys())
def test_each_status_that_comes_back_is_listed(
    on_sqlite: Service, paths: dict[str, Any], odd: dict[str, Any], *, known: bool
) -> None:
    unlisted = []
    with on_sqlite.http(on_sqlite.new_key() if known else None) as http:
        for method, path in endpoints():
            if path == "/metrics" or path.endswith("/events"):
                continue
            if (method, path) == ("GET", "/v1/responses"):  # only refuses a WebSocket, unlisted
                continue
            url = path.replace(":path", "")
            listed = paths[url][method.lower()]["responses"]
            answer = http.request(method, url.replace("{", "").replace("}", ""), **odd)
            if str(answer.status_code) not in listed:
                unlisted.append((method, path, answer.status_code))
            elif answer.status_code >= 400:
                assert listed[str(answer.status_code)]["content"]["application/json"]["schema"]
    assert not unlisted


def test_every_error_is_openais_envelope(paths: dict[str, Any]) -> None:
    schemas = {
        (path, status): response["content"]["application/json"]["schema"]
        for path, methods in paths.items()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        if status >= "4"
    }
    others = {where for where, schema in schemas.items() if schema != ENVELOPE}
    assert others == {("/ready", "503")}


def test_paths_that_need_a_key_say_so(paths: dict[str, Any]) -> None:
    free = {
        path for path, methods in paths.items() for it in methods.values() if "security" not in it
    }
    assert free == {"/live", "/ready"}


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v1/chat/completions", ChatCompletion),
        ("/v1/completions", TextCompletion),
        ("/v1/embeddings", EmbeddingList),
    ],
)
def test_an_example_is_answered_as_it_says(
    on_sqlite: Service, paths: dict[str, Any], path: str, answer: type[BaseModel]
) -> None:
    example = paths[path]["post"]["requestBody"]["content"]["application/json"]["example"]
    with on_sqlite.http(on_sqlite.new_key()) as http:
        answer.model_validate_json(http.post(path, json=example).content)


def test_the_models_of_the_examples_are_there() -> None:
    for provider in (local, simulated):
        known = MODELS[provider.__name__.rpartition(".")[2]]
        assert known == {"chat-model": provider.CHAT, "embeddings-model": provider.EMBEDDINGS}
