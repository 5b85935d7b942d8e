"""What callers see of a model that fails, on a server whose model does."""

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from tests.service import Service, service

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
