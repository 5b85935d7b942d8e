"""A model bound to its caller: each call is counted once, at its cost."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import pytest

from engine.errors import AppError, DeadlineExceeded, ModelDown, ModelRateLimited, Overloaded
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Message,
    ModelCard,
    Progress,
    Usage,
)
from engine.operations.bound_model import BoundModel
from tests.api.serving import Only

pytestmark = pytest.mark.anyio

CALLER = "caller_a"
CHAT = ChatRequest(model="small", messages=[Message(role="user", content="Hello")])
EMBEDDINGS = EmbeddingsRequest(model="vectors", input="Hello")
WORD, LAST = Chunk(b"data: a word\n\n"), Chunk(b"", Usage(2, 3))
REFUSALS = [ModelDown("down"), ModelRateLimited("busy"), Overloaded("full")]


class Counts:
    """A usage buffer that keeps each call."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str, Usage]] = []
        self.unfinished: list[tuple[str, str, int]] = []

    def count(self, caller_id: str, model: str, used: Usage) -> None:
        self.ended.append((caller_id, model, used))

    def count_unfinished(
        self, caller_id: str, model: str, _body: ChatRequest, generated: int
    ) -> None:
        self.unfinished.append((caller_id, model, generated))


class Provider:
    """Gives these chunks, then fails with the error or hangs; an answer has as many tokens."""

    def __init__(self, *chunks: Chunk, error: Exception | None = None, hangs: bool = False) -> None:
        self._chunks = chunks
        self._error = error
        self._hangs = hangs
        self.hanging = asyncio.Event()

    async def complete(self, request: ChatRequest, so_far: Progress | None = None) -> Answer:
        assert so_far
        async for _ in self.stream(request):
            so_far.generated += 1
        return Answer(b"{}", Usage(2, 3))

    async def embed(self, _request: EmbeddingsRequest) -> Answer:
        return Answer(b"{}", Usage(4, 0))

    async def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        for chunk in self._chunks:
            yield chunk
        if self._error:
            raise self._error
        if self._hangs:
            self.hanging.set()
            await asyncio.Event().wait()

    async def models(self) -> list[ModelCard]:
        return [ModelCard(id="first"), ModelCard(id="second")]


@pytest.fixture
def counts() -> Counts:
    return Counts()


def bound(provider: Provider, counts: Counts | None, default: str | None = None) -> BoundModel:
    settings = SimpleNamespace(default_model=default)
    resources: Any = SimpleNamespace(
        usage=counts, tokenizer=None, settings=settings, model_owners=None
    )
    return BoundModel(Only(provider), resources, CALLER, counted=counts is not None)


async def read(model: BoundModel) -> None:
    async with aclosing(model.stream(CHAT)) as chunks:
        async for _ in chunks:
            pass


async def test_an_answer_is_counted_once(counts: Counts) -> None:
    await bound(Provider(WORD), counts).complete(CHAT)
    assert counts.ended == [(CALLER, "small", Usage(2, 3))]
    assert not counts.unfinished


async def test_embeddings_are_counted_once(counts: Counts) -> None:
    await bound(Provider(), counts).embed(EMBEDDINGS)
    assert counts.ended == [(CALLER, "vectors", Usage(4, 0))]
    assert not counts.unfinished


async def test_a_stream_is_counted_once_at_what_its_provider_says(counts: Counts) -> None:
    await read(bound(Provider(WORD, LAST, WORD), counts))
    assert counts.ended == [(CALLER, "small", Usage(2, 3))]
    assert not counts.unfinished


async def test_a_cancelled_answer_costs_what_was_generated(counts: Counts) -> None:
    provider = Provider(WORD, WORD, hangs=True)
    asking = asyncio.create_task(bound(provider, counts).complete(CHAT))
    await provider.hanging.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (counts.ended, counts.unfinished) == ([], [(CALLER, "small", 2)])


async def test_an_answer_out_of_time_costs_what_was_generated(counts: Counts) -> None:
    model = bound(Provider(WORD, error=DeadlineExceeded("late")), counts)
    with pytest.raises(DeadlineExceeded):
        await model.complete(CHAT)
    assert (counts.ended, counts.unfinished) == ([], [(CALLER, "small", 1)])


async def test_a_stream_that_its_reader_leaves_costs_what_was_generated(counts: Counts) -> None:
    provider = Provider(Chunk(b""), WORD, LAST)
    async with aclosing(bound(provider, counts).stream(CHAT)) as chunks:
        await anext(chunks)
        await anext(chunks)
    assert (counts.ended, counts.unfinished) == ([], [(CALLER, "small", 1)])


async def test_a_stream_that_breaks_off_costs_what_was_generated(counts: Counts) -> None:
    with pytest.raises(ModelDown):
        await read(bound(Provider(WORD, WORD, error=ModelDown("down")), counts))
    assert (counts.ended, counts.unfinished) == ([], [(CALLER, "small", 2)])


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda error: error.code)
async def test_a_refused_call_costs_nothing(counts: Counts, refusal: AppError) -> None:
    model = bound(Provider(error=refusal), counts)
    with pytest.raises(type(refusal)):
        await model.complete(CHAT)
    with pytest.raises(type(refusal)):
        await read(model)
    assert not counts.ended + counts.unfinished


async def test_usage_is_counted_under_another_name_where_one_is_set(counts: Counts) -> None:
    model = bound(Provider(WORD, LAST), counts)
    model.counted_as = "/v1/triage"
    await model.complete(CHAT)
    await read(model)
    await model.embed(EMBEDDINGS)
    async with aclosing(model.stream(CHAT)) as chunks:
        await anext(chunks)
    assert {name for _, name, _ in counts.ended + counts.unfinished} == {"/v1/triage"}


async def test_a_model_without_a_counter_answers_all_the_same() -> None:
    model = bound(Provider(WORD, LAST), None)
    assert (await model.complete(CHAT)).usage == Usage(2, 3)
    await read(model)


async def test_the_default_model_is_the_setting_or_else_the_providers_first() -> None:
    assert await bound(Provider(), None, default="own").default() == "own"
    assert await bound(Provider(), None).default() == "first"
