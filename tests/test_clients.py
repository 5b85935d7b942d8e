"""Other clients of the OpenAI protocol, unmodified, against a render with the simulated model."""

import asyncio
import json
import subprocess
from collections.abc import Iterator

import litellm
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import SecretStr

from demo.service import Service, running
from tests.conftest import PYTHONS, Environment, Render, find_python

CHAT, EMBEDDINGS = "simulated-chat", "simulated-embeddings"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def service(checkout: Render, environment: Environment) -> Iterator[Service]:
    """A render at work."""
    interpreter = next(filter(None, map(find_python, PYTHONS)))
    python = f"{environment(interpreter)['UV_PROJECT_ENVIRONMENT']}/bin/python"
    project = checkout({"model_provider": "simulated"})
    with running(project, [python, "-m", "app.cli", "dev"]) as started:
        yield started


def test_langchain_chats_streams_and_calls_tools(service: Service) -> None:
    model = ChatOpenAI(model=CHAT, base_url=f"{service.url}/v1", api_key=SecretStr(service.key))
    answer = model.invoke("Hello")
    assert answer.content
    assert answer.usage_metadata
    assert "".join(str(chunk.content) for chunk in model.stream("Hello")) == answer.content

    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return city

    called = model.bind_tools([weather], tool_choice="required").invoke("Hello")
    assert called.tool_calls[0]["name"] == "weather"


def test_langchain_embeds(service: Service) -> None:
    embeddings = OpenAIEmbeddings(
        model=EMBEDDINGS,
        base_url=f"{service.url}/v1",
        api_key=SecretStr(service.key),
        check_embedding_ctx_length=False,
    )
    one, two = embeddings.embed_documents(["one", "two"])
    assert len(one) == len(two) == 256
    assert one != two


def test_litellm_completes_and_streams(service: Service) -> None:
    async def ask() -> tuple[str, str]:
        options = {"model": f"openai/{CHAT}", "api_base": f"{service.url}/v1"}
        options["api_key"] = service.key
        whole = await litellm.acompletion(messages=HELLO, **options)
        stream = await litellm.acompletion(messages=HELLO, stream=True, **options)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream]
        return whole.choices[0].message.content, "".join(pieces)

    whole, streamed = asyncio.run(ask())
    assert whole
    assert whole == streamed


def test_curl_reads_a_stream_to_its_end(service: Service) -> None:
    body = json.dumps({"model": CHAT, "messages": HELLO, "stream": True})
    headers = ["-H", f"Authorization: Bearer {service.key}", "-H", "Content-Type: application/json"]
    command = ["curl", "-sSN", f"{service.url}/v1/chat/completions", *headers, "-d", body]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.endswith("data: [DONE]\n\n")
