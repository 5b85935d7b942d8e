"""A model that fails, as callers see it."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.service import Service, free_port, service

MODEL = "simulated-chat"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def unreliable(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("unreliable")
    with service(
        folder, redis_url, simulated_error_rate=0.3, simulated_rate_limit_rate=0.3
    ) as running:
        running.start("api")
        yield running


@pytest.fixture(scope="module")
def with_a_fallback(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service whose first model server is not there."""
    with service(
        tmp_path_factory.mktemp("fallback"),
        redis_url,
        model_provider="openai",
        openai_base_url=f"http://127.0.0.1:{free_port()}/v1",
        model_fallbacks=[{"provider": "simulated", "model": "simulated-chat"}],
    ) as running:
        running.start("api")
        yield running


@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_answers_where_the_first_provider_is_away(
    with_a_fallback: Service, stream: bool
) -> None:
    with with_a_fallback.client(with_a_fallback.new_key(), max_retries=0) as client:
        for _ in range(7):  # also when the circuit is open
            answer = client.chat.completions.create(model="gpt", messages=HELLO, stream=stream)
            assert not isinstance(answer, openai.Stream) or list(answer)


def test_the_clients_own_retry_gets_an_answer(unreliable: Service) -> None:
    with unreliable.client(unreliable.new_key(), max_retries=20) as client:
        assert client.chat.completions.create(model=MODEL, messages=HELLO).choices


def test_each_failure_has_its_own_exception_and_a_time_to_wait(unreliable: Service) -> None:
    seen = {}
    with unreliable.client(unreliable.new_key(), max_retries=0) as client:
        for _ in range(40):
            try:
                client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
            except openai.APIStatusError as error:
                seen[type(error)] = error
    assert set(seen) == {openai.RateLimitError, openai.InternalServerError}
    assert {error.status_code for error in seen.values()} == {429, 503}
    assert all("retry-after-ms" in error.response.headers for error in seen.values())
