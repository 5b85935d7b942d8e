"""Bad input of every kind gets an error in OpenAI's envelope, which says how to mend it."""

import json
import re

import pytest

from tests.service import Service

GOOD = {"model": "simulated-chat", "messages": [{"role": "user", "content": "Hello"}]}
DEEP = b'{"model": "simulated-chat", "messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"

BODIES = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "not UTF-8": b'{"model": "\xff\xfe"}',
    "deeply nested": DEEP,
    "no messages": json.dumps({**GOOD, "messages": []}).encode(),
    "no model": json.dumps({"messages": GOOD["messages"]}).encode(),
    "text as number": json.dumps({**GOOD, "temperature": "hot"}).encode(),
    "number out of range": json.dumps({**GOOD, "n": 0}).encode(),
    "message without role": json.dumps({**GOOD, "messages": [{"content": "x"}]}).encode(),
    "number that is none": b'{"model": "simulated-chat", "messages": NaN}',
    "NUL in a name": json.dumps({**GOOD, "model": "\0"}).encode(),
    "huge number": json.dumps({**GOOD, "seed": 2**70}).encode(),
    "endless number": b'{"model": "simulated-chat", "messages": [], "temperature": 1e999}',
    "wrong stop": json.dumps({**GOOD, "stop": {"a": 1}}).encode(),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_bad_body_gets_a_400_that_says_why(live: Service, key: str, body: bytes) -> None:
    with live.http(key) as http:
        answer = http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_body_that_is_too_large_gets_a_413(live: Service, key: str, *, chunked: bool) -> None:
    size = live.settings.max_body_bytes + 1
    pieces = (b"x" * 65_536 for _ in range(size // 65_536 + 1))
    with live.http(key) as http:
        body = pieces if chunked else b"".join(pieces)
        answer = http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 413
    assert str(live.settings.max_body_bytes) in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/chat/completions", 405),
        ("GET", "/v1/files/file_none", 404),
        ("GET", "/v1/batches/batch_none", 404),
        ("GET", "/v1/models/none", 404),
        ("GET", "/v1/files?limit=0", 400),
        ("GET", "/v1/batches?limit=many", 400),
        ("GET", "/v1/usage?days=1000000", 400),
        ("POST", "/v1/files", 400),
        ("GET", "/v1/files/%00", 400),
        ("GET", "/v1/files?after=%00", 400),
    ],
)
def test_every_error_has_the_envelope(
    live: Service, key: str, method: str, path: str, status: int
) -> None:
    with live.http(key) as http:
        answer = http.request(method, path)
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])


def test_a_request_id_of_the_clients_own_is_kept_if_it_is_harmless(live: Service) -> None:
    with live.http() as http:
        kept = http.get("/live", headers={"x-request-id": "trace-1"})
        replaced = http.get("/live", headers={"x-request-id": "trace 1 [forged]"})
    assert kept.headers["x-request-id"] == "trace-1"
    assert replaced.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("field", ["endpoint", "input_file_id", "completion_window"])
@pytest.mark.parametrize("value", ["", "\0", "\ud7ff" * 1000, None, 5, ["x"]])
def test_a_bad_batch_is_refused(live: Service, key: str, field: str, value: object) -> None:
    body = {"endpoint": "/v1/embeddings", "input_file_id": "none", "completion_window": "24h"}
    with live.http(key) as http:
        answer = http.post("/v1/batches", json={**body, field: value})
    assert answer.status_code == 400
