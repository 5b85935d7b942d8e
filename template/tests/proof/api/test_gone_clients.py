"""A client that goes leaves nothing behind: not its model call, not its slot, not its bill."""

from collections.abc import Iterator

import httpx
import pytest

from tests.lines import chat_body
from tests.service import Service, eventually, service

FIRST_TOKENS = 2.0
"""Seconds after which a client goes: some tokens have come, and thousands have not."""


@pytest.fixture(scope="module")
def slow(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One slot, and a model that takes an hour for a long answer."""
    folder = tmp_path_factory.mktemp("gone")
    with service(folder, redis_url, model_slots=1, simulated_tokens_per_second=20) as running:
        running.start("api")
        yield running


@pytest.fixture(params=[False, True], ids=["whole", "streamed"])
def gone(request: pytest.FixtureRequest, slow: Service) -> Iterator[httpx.Client]:
    """A client of its own, which has gone in the middle of an answer."""
    with slow.http(slow.new_key(f"goer-{request.node.name}")) as client:
        begin_and_go(client, stream=request.param)
        yield client


def begin_and_go(client: httpx.Client, *, stream: bool) -> None:
    body = chat_body("Say nothing but many words.", max_tokens=70_000) | {"stream": stream}
    url = "/v1/chat/completions"
    if not stream:
        with pytest.raises(httpx.ReadTimeout):
            client.post(url, json=body, timeout=FIRST_TOKENS)
        return
    with client.stream("POST", url, json=body) as answer:
        for _, _ in zip(range(10), answer.iter_lines(), strict=False):
            pass


def test_a_client_who_goes_before_the_first_token_is_counted_too(slow: Service) -> None:
    """It waits for the one slot, and goes."""
    with slow.http(slow.new_key("holder")) as holder, slow.http(slow.new_key("early")) as early:
        body = chat_body("Say nothing but many words.", max_tokens=70_000, stream=True)
        with holder.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            with pytest.raises(httpx.ReadTimeout):
                early.post("/v1/chat/completions", json=body, timeout=FIRST_TOKENS)
            eventually(lambda: early.get("/v1/usage").json()["data"])
        (day,) = early.get("/v1/usage").json()["data"]
    assert day["completion_tokens"] == 0


def test_its_slot_is_the_next_ones(slow: Service, gone: httpx.Client) -> None:
    with slow.http(slow.new_key("next")) as client:
        body = chat_body("Say 1", max_tokens=1)
        assert client.post("/v1/chat/completions", json=body).status_code == 200


def test_the_usage_of_a_gone_client_is_counted(gone: httpx.Client) -> None:
    eventually(lambda: gone.get("/v1/usage").json()["data"])
    (day,) = gone.get("/v1/usage").json()["data"]
    assert day["prompt_tokens"] > 0
    assert 0 < day["completion_tokens"] < 1000
