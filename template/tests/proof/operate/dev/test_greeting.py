"""The warnings of `app dev`."""

import pytest

from engine.operate.dev.greeting import servers_without_responses
from tests.proof.models.asking import settings
from tests.upstream import answering, serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("status", "lacks"), [(404, True), (405, True), (400, False), (401, False)]
)
async def test_a_native_server_without_the_path_is_named(status: int, lacks: bool) -> None:
    async with serving(answering(status, {})) as first, serving(answering(404, {})) as second:
        configured = settings(
            model_provider="openai",
            openai_base_url=first.url,
            openai_api_key="sk-key",
            openai_responses="native",
            model_fallbacks=[{"base_url": second.url, "responses": "chat"}],
        )
        assert await servers_without_responses(configured) == ([first.url] if lacks else [])
    assert first.headers[0]["Authorization"] == "Bearer sk-key"
    assert second.headers == []


async def test_a_server_that_is_away_is_not_said_to_lack_the_path() -> None:
    url = "http://127.0.0.1:1/v1"
    configured = settings(model_provider="openai", openai_base_url=url, openai_responses="native")
    assert await servers_without_responses(configured) == []
