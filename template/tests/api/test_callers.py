"""Nobody gets in without a key, and nobody sees what is another's."""

import pytest
from fastapi.routing import iter_route_contexts
from openai import OpenAI
from openai.types import Batch

from app.domain import keys
from app.main import create_app
from app.settings import Settings
from tests.service import Service, eventually

OPEN = {"/live", "/ready"}
LINE = (
    b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": '
    b'{"model": "simulated-chat", "messages": [{"role": "user", "content": "secret of A"}]}}'
)


def endpoints() -> list[tuple[str, str]]:
    """Return method and path of every endpoint of this API."""
    app = create_app(Settings())
    return [
        (method, str(context.path))
        for context in iter_route_contexts(app.routes)
        for method in sorted(context.methods or ())
        if getattr(context, "dependant", None) and context.path not in OPEN
    ]


@pytest.mark.parametrize(("method", "path"), endpoints())
@pytest.mark.parametrize(
    "authorization", [None, "Bearer", "Bearer sk-none-none", "Basic eDp5", "Bearer \x80"]
)
def test_without_a_live_key_every_endpoint_is_closed(
    live: Service, method: str, path: str, authorization: str | None
) -> None:
    headers = {"authorization": authorization.encode("latin-1")} if authorization else {}
    with live.http() as http:
        answer = http.request(method, path, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"]["type"] == "authentication_error"


def test_another_callers_things_do_not_exist(live: Service) -> None:
    mine, theirs = live.new_key("caller A"), live.new_key("caller B")
    with live.client(mine) as a, live.http(theirs) as b:
        batch = _finished_batch(a)
        ids = [batch.input_file_id, batch.output_file_id, batch.id]
        answers = [
            b.get(f"/v1/files/{ids[0]}"),
            b.get(f"/v1/files/{ids[0]}/content"),
            b.get(f"/v1/files/{ids[1]}/content"),
            b.delete(f"/v1/files/{ids[0]}"),
            b.get(f"/v1/batches/{ids[2]}"),
            b.post(f"/v1/batches/{ids[2]}/cancel"),
            b.post(
                "/v1/batches",
                json={
                    "endpoint": "/v1/chat/completions",
                    "input_file_id": ids[0],
                    "completion_window": "24h",
                },
            ),
        ]
        lists = [b.get(path).json()["data"] for path in ("/v1/files", "/v1/batches", "/v1/usage")]
    assert [answer.status_code for answer in answers] == [404] * len(answers)
    assert lists == [[], [], []]


def test_a_key_is_stored_only_as_a_hash(live: Service, key: str) -> None:
    secret = key.rsplit("-", 1)[-1].encode()
    if live.settings.sql_url.startswith("sqlite"):
        written = b"".join(path.read_bytes() for path in live.folder.glob("app.db*"))
        assert secret not in written
    assert secret.decode() not in "".join(program.text() for program in live.programs)


def test_a_revoked_key_is_refused(live: Service) -> None:
    key = live.new_key("leaving")
    key_id = key.split("-")[1]
    with live.http(key) as http:
        assert http.get("/v1/models").status_code == 200
        live.in_database(keys.revoke_key, key_id)
        eventually(lambda: http.get("/v1/models").status_code == 401)


def _finished_batch(client: OpenAI) -> Batch:
    file = client.files.create(file=("in.jsonl", LINE), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    eventually(lambda: client.batches.retrieve(batch.id).status == "completed")
    return client.batches.retrieve(batch.id)
