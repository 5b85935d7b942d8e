"""Odd answers of a provider, as callers and batches get them, over a real server."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace

import httpx
import pytest
from aiohttp import ClientSession, TCPConnector, web

from app.main import create_app
from app.resources.lifespan import Resources, open_resources
from engine.batches import batch_output
from engine.batches.batches import BatchWork
from engine.batches.items import ClaimedItem, ItemOutcome
from engine.batches.lane_worker import attempt_item
from engine.models.interface import (
    ChatRequest,
    Chunk,
    Model,
    Usage,
)
from engine.models.openai import OpenAI
from engine.process.tokenizer import Tokenizer
from engine.slots.redis_semaphore import Priority
from tests.api.serving import Only, with_model
from tests.api.serving import serving as serving_app
from tests.lines import CHAT_URL
from tests.proof.models.asking import Json, settings
from tests.proof.models.odd_answers import (
    GUESSED,
    STREAMED,
    WHOLE,
    Odd,
    OddStream,
)
from tests.service import Service
from tests.upstream import Handler, serving

pytestmark = pytest.mark.anyio


WORK = BatchWork("caller", CHAT_URL, "file_a", "in_progress", "req_a", 3600.0)


class Counting:
    """A model that remembers what each call of a stream has cost."""

    def __init__(self, model: OpenAI) -> None:
        self._model = model
        self.complete, self.embed, self.models = model.complete, model.embed, model.models
        self.usage: Usage | None = None

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.usage = None
        async for chunk in self._model.stream(request):
            self.usage = chunk.usage or self.usage
            yield chunk


async def odd_server(request: web.Request) -> web.StreamResponse:
    """Answer as the row says that the request names as its model."""
    asked = await request.json()
    if asked["model"].startswith("streamed ") and asked["stream"]:
        return await _stream(request, STREAMED[asked["model"].removeprefix("streamed ")])
    odd = WHOLE[asked["model"]]
    return web.Response(
        status=odd.status,
        body=odd.body,
        headers={"content-type": "application/json", **odd.headers},
    )


async def _stream(request: web.Request, odd: OddStream) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for piece in odd.pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    return response


@pytest.fixture(scope="module")
async def model(tokenizer: Tokenizer) -> AsyncIterator[Counting]:
    handler: Handler = odd_server
    connector = TCPConnector(force_close=True)
    async with serving(handler) as upstream, ClientSession(connector=connector) as http:
        yield Counting(OpenAI(settings(openai_base_url=upstream.url), http, tokenizer))


@pytest.fixture(scope="module")
def key(prepared: Service) -> str:
    return prepared.new_key(requests_per_minute=0)


@pytest.fixture(scope="module")
async def client(prepared: Service, model: Model, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with serving_app(with_model(create_app(prepared.settings), model)) as opened:
        opened.headers["authorization"] = f"Bearer {key}"
        yield opened


@pytest.fixture(scope="module")
async def resources(prepared: Service, model: Model) -> AsyncIterator[Resources]:
    async with open_resources(prepared.settings) as opened:
        yield replace(opened, _upstreams=dict.fromkeys(Priority, Only(model)))


def body(name: str, **fields: object) -> Json:
    return {"model": name, "messages": [{"role": "user", "content": "Hello"}], **fields}


async def run(resources: Resources, name: str) -> ItemOutcome:
    """Return what comes of an item of a batch whose answer the row is."""
    return await attempt_item(
        resources, WORK, ClaimedItem(1, json.dumps(body(name)).encode(), 1, 0)
    )


def check_usage(usage: Usage | None, expected: tuple[int, int]) -> None:
    assert usage
    for count, wanted in zip((usage.prompt_tokens, usage.completion_tokens), expected, strict=True):
        assert 0 < count < 1000 if wanted == GUESSED else count == wanted


def content(parsed: Json) -> str:
    return str(parsed["choices"][0]["message"]["content"])


@pytest.mark.parametrize("name", WHOLE)
async def test_a_caller_gets(client: httpx.AsyncClient, name: str) -> None:
    odd = WHOLE[name]
    answer = await client.post(CHAT_URL, json=body(name))
    assert answer.status_code == odd.expected
    if odd.expected == 200:
        assert content(answer.json()) == odd.says
    else:
        check_error(answer.json()["error"], odd)


@pytest.mark.parametrize("name", [name for name, odd in WHOLE.items() if odd.expected != 200])
async def test_a_stream_gives_the_same_error(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.post(CHAT_URL, json=body(name, stream=True))
    assert answer.status_code == WHOLE[name].expected
    check_error(answer.json()["error"], WHOLE[name])


def check_error(error: dict[str, str], odd: Odd) -> None:
    assert odd.says in error["message"]
    assert len(error["message"]) <= 2000
    assert odd.code in (None, error["code"])


@pytest.mark.parametrize("name", WHOLE)
async def test_a_batch_writes(resources: Resources, name: str) -> None:
    odd = WHOLE[name]
    outcome = await run(resources, name)
    assert outcome.status == odd.batch
    if odd.batch == "succeeded":
        check_usage(outcome.usage, odd.usage)
    (line,) = line_of(outcome).decode().splitlines()
    parsed = json.loads(line, parse_constant=pytest.fail)
    if odd.batch == "succeeded":
        assert content(parsed["response"]["body"]) == odd.says
    else:
        error = parsed["response"]["body"]["error"]
        assert odd.says in error["message"]
        assert len(error["code"]) <= 100
        assert "\0" not in error["code"]


def line_of(outcome: ItemOutcome) -> bytes:
    response = outcome.response or b""
    ended = batch_output.Ended(
        id=1,
        batch_id="batch_1",
        seq=1,
        custom_id="one",
        status="failed" if outcome.status == "pending" else outcome.status,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        size=len(response),
        response=response,
    )
    return batch_output.output_line(ended)


@pytest.mark.parametrize("name", STREAMED)
async def test_a_stream_gives(client: httpx.AsyncClient, model: Counting, name: str) -> None:
    odd = STREAMED[name]
    answer = await client.post(CHAT_URL, json=body(f"streamed {name}", stream=True))
    assert answer.status_code == odd.status
    if odd.status != 200:
        assert odd.error
        assert odd.error in answer.json()["error"]["message"]
        return
    *events, last = answer.content.removesuffix(b"\n\n").split(b"\n\n")
    assert text_of(events) == odd.text
    if odd.error:
        assert odd.error in json.loads(last.removeprefix(b"data: "))["error"]["message"]
        return
    assert last == b"data: [DONE]"
    assert odd.usage
    check_usage(model.usage, odd.usage)


def text_of(events: list[bytes]) -> str:
    chunks = [json.loads(each.decode().removeprefix("data:")) for each in events]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)
