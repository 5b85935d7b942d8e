"""A run that fails is an error for its caller, and no response without an answer."""

from collections.abc import Iterator

import openai
import pytest
from openai import OpenAI

from tests.service import service

HOPELESS = """
from engine.agents.agent import Agent

AGENT = Agent("hopeless", instructions="", model="nothing")
"""


@pytest.fixture(scope="module")
def client(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    modules = tmp_path_factory.mktemp("modules")
    (modules / "hopeless.py").write_text(HOPELESS)
    with service(tmp_path_factory.mktemp("failing"), redis_url, modules=modules) as running:
        running.start("api", "worker")
        with running.client(running.new_key()) as official:
            yield official


def test_a_whole_response_is_an_error(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="nothing") as told:
        client.responses.create(model="hopeless", input="Hello")
    assert told.value.response.headers["x-should-retry"] == "false"


def test_a_chat_is_an_error(client: OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="nothing"):
        client.chat.completions.create(
            model="hopeless", messages=[{"role": "user", "content": "Hello"}]
        )


def test_a_stream_ends_with_the_error(client: OpenAI) -> None:
    *_, last = client.responses.create(model="hopeless", input="Hello", stream=True)
    assert last.type == "response.failed"
    assert last.response.error
    assert "nothing" in last.response.error.message
