"""Web pages may ask where their origin is set, whatever the answer is."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from app.main import create_app
from app.settings import Settings
from tests.api.serving import serving
from tests.lines import chat_body
from tests.service import Service

pytestmark = pytest.mark.anyio
ORIGIN = "https://app.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-lang",
}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(
        data_dir=tmp_path, redis_url="none", model_provider="simulated", cors_origins=(ORIGIN,)
    )
    async with serving(create_app(settings)) as opened:
        yield opened


async def test_a_preflight_is_allowed_with_the_headers_that_clients_send(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.options(CHAT, headers={"origin": ORIGIN, **PREFLIGHT})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in answer.headers["access-control-allow-headers"]


async def test_another_origin_is_not_allowed(client: httpx.AsyncClient) -> None:
    answer = await client.options(CHAT, headers={"origin": "https://other.example", **PREFLIGHT})
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(("path", "status"), [("/live", 200), ("/none", 404), ("/v1/files", 401)])
async def test_good_and_bad_answers_may_be_read(
    client: httpx.AsyncClient, path: str, status: int
) -> None:
    answer = await client.get(path, headers={"origin": ORIGIN})
    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    exposed = answer.headers["access-control-expose-headers"]
    assert {"x-request-id", "retry-after", "x-ratelimit-remaining-tokens"} <= set(
        exposed.split(", ")
    )


@pytest.fixture
def key(prepared: Service) -> str:
    return prepared.new_key()


async def test_a_streamed_answer_may_be_read(prepared: Service, key: str) -> None:
    settings = prepared.settings.model_copy(update={"cors_origins": (ORIGIN,)})
    headers = {"origin": ORIGIN, "authorization": f"Bearer {key}"}
    body = chat_body("Hello", stream=True)
    async with (
        serving(create_app(settings)) as client,
        client.stream("POST", CHAT, json=body, headers=headers) as answer,
    ):
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "x-request-id" in answer.headers["access-control-expose-headers"]
        assert (await answer.aread()).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("origin", ["https://app.example.com/", "app.example.com", ""])
def test_a_bad_origin_is_refused_at_the_start(origin: str) -> None:
    with pytest.raises(ValueError, match="cors_origins"):
        Settings(cors_origins=(origin,))
