"""The choice of a provider, second tries, and the traces of a call."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, suppress
from itertools import chain, repeat
from typing import Any

import pytest
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from app.settings import Settings
from engine import deadline
from engine.errors import (
    AppError,
    ModelDown,
    ModelError,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
)
from engine.models.failover import (
    FAILURES,
    Budget,
    CircuitOpenError,
    Patience,
    RetryBudget,
    circuit_breakers,
)
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Message,
    ModelCard,
    Usage,
)
from engine.models.quota import Quota
from engine.models.upstreams import Upstream, Upstreams
from engine.slots.redis_semaphore import Priority, Reason
from engine.slots.semaphore import Limits, SlotSemaphore

pytestmark = pytest.mark.anyio

CALLER = "caller"
CHAT = ChatRequest(model="small", messages=[Message(role="user", content="Hello")])
DOWN, BUSY = ModelDown("down", retry_after=0.0), ModelRateLimited("busy", retry_after=0.0)
GOOD = None
NOTHING: Mapping[str, Any] = {}


class Fake:
    """A provider whose calls end as told, one after the other, the last one for ever."""

    def __init__(self, *ends: AppError | None) -> None:
        self._ends: Iterator[AppError | None] = chain(ends, repeat(ends[-1]))
        self.asked: list[str] = []
        self.left: float | None = None

    async def complete(self, request: ChatRequest, _so_far: object = None) -> Answer:
        self.asked.append(request.model)
        self.left = deadline.remaining()
        if error := next(self._ends):
            raise error
        return Answer(b"{}", Usage(1, 1))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request.model)
        for part in (b"one", b"two"):
            if error := next(self._ends):
                raise error
            yield Chunk(part)

    async def embed(self, request: EmbeddingsRequest) -> Answer:
        raise NotImplementedError

    async def models(self) -> list[ModelCard]:
        raise NotImplementedError


class Hanging(Fake):
    """A provider that never answers."""

    async def complete(self, request: ChatRequest, _so_far: object = None) -> Answer:
        self.asked.append(request.model)
        await asyncio.Event().wait()
        raise AssertionError


def upstream(
    provider: Fake, model: str | None = None, settings: Mapping[str, Any] = NOTHING
) -> Upstream:
    limiter = MovingWindowRateLimiter(MemoryStorage())  # no minute of the clock ends in between
    values = Settings(_env_file=None, **settings)
    return Upstream(
        name="fake",
        provider=provider,
        slots=SlotSemaphore("fake", Limits(slots=1), Priority.ONLINE),
        circuit_of=circuit_breakers(),
        quota=Quota(limiter, "fake", Priority.ONLINE, values),
        model=model,
    )


def model(*providers: Fake, budget: Budget | None = None, longest_call: float = 60) -> Upstreams:
    asked = [upstream(provider) for provider in providers]
    return Upstreams(asked, budget or RetryBudget(retries=1), longest_call)


async def streamed(subject: Upstreams) -> list[bytes]:
    return [chunk.events async for chunk in subject.stream(CHAT, CALLER)]


async def test_the_first_provider_answers() -> None:
    first, second = Fake(GOOD), Fake(GOOD)
    await model(first, second).complete(CHAT, CALLER)
    assert (len(first.asked), len(second.asked)) == (1, 0)


@pytest.mark.parametrize("error", [DOWN, BUSY])
async def test_the_next_one_stands_in_for_a_provider_that_cannot(error: AppError) -> None:
    first, second = Fake(error), Fake(GOOD)
    await model(first, second).complete(CHAT, CALLER)
    assert (len(first.asked), len(second.asked)) == (1, 1)


@pytest.mark.parametrize("error", [ModelRejected("no"), ModelError("broken")])
async def test_an_error_that_every_provider_would_give_is_not_asked_for_twice(
    error: AppError,
) -> None:
    first, second = Fake(error), Fake(GOOD)
    with pytest.raises(type(error)):
        await model(first, second).complete(CHAT, CALLER)
    assert (len(first.asked), len(second.asked)) == (1, 0)


async def test_a_provider_gets_the_model_that_it_knows() -> None:
    second = Fake(GOOD)
    await Upstreams(
        [upstream(Fake(DOWN)), upstream(second, model="other")], RetryBudget(1), 60
    ).complete(CHAT, CALLER)
    assert second.asked == ["other"]


async def test_a_failure_is_tried_again() -> None:
    provider = Fake(DOWN, GOOD)
    await model(provider).complete(CHAT, CALLER)
    assert len(provider.asked) == 2


async def test_no_more_often_than_allowed() -> None:
    provider = Fake(DOWN)
    with pytest.raises(ModelUnavailable):
        await model(provider).complete(CHAT, CALLER)
    assert len(provider.asked) == 2


async def test_a_provider_that_is_down_is_not_asked_twice_as_often() -> None:
    provider = Fake(*[DOWN, ModelRejected("no")] * 1000)
    subject = model(provider)
    for _ in range(100):
        with pytest.raises(ModelError):
            await subject.complete(CHAT, CALLER)
    assert len(provider.asked) < 130


async def test_a_stream_that_has_not_begun_is_begun_elsewhere() -> None:
    assert await streamed(model(Fake(DOWN), Fake(GOOD))) == [b"one", b"two"]


async def test_a_stream_that_has_begun_is_not_begun_anew() -> None:
    second = Fake(GOOD)
    subject = model(Fake(GOOD, DOWN), second)
    with pytest.raises(ModelUnavailable):
        await streamed(subject)
    assert second.asked == []


async def test_a_dead_provider_is_not_asked() -> None:
    provider = Fake(DOWN)
    subject = model(provider, budget=RetryBudget(retries=0))
    for _ in range(FAILURES + 3):
        with pytest.raises(ModelUnavailable):
            await subject.complete(CHAT, CALLER)
    assert len(provider.asked) == FAILURES


OTHER = CHAT.model_copy(update={"model": "other"})


async def test_a_dead_model_leaves_the_others_alone() -> None:
    provider = Fake(*[DOWN] * FAILURES, GOOD)
    subject = model(provider, budget=RetryBudget(retries=0))
    for _ in range(FAILURES):
        with pytest.raises(ModelDown):
            await subject.complete(CHAT, CALLER)
    await subject.complete(OTHER, CALLER)
    with pytest.raises(CircuitOpenError):
        await subject.complete(CHAT, CALLER)


async def test_a_pause_is_of_the_model_that_was_refused() -> None:
    too_much = ModelRateLimited("busy", retry_after=604_800.0)
    too_much.pause = 604_800.0
    provider = Fake(too_much, GOOD)
    subject = model(provider, budget=RetryBudget(retries=0))
    for _ in range(2):
        with pytest.raises(ModelRateLimited) as refused:
            await subject.complete(CHAT, CALLER)
        assert 30 < (refused.value.retry_after or 0) <= 60
    await subject.complete(OTHER, CALLER)
    assert provider.asked == ["small", "other"]


async def test_a_stand_ins_pause_is_of_the_model_that_it_was_asked_for() -> None:
    too_much = ModelRateLimited("busy")
    too_much.pause = 50.0
    used = upstream(Fake(too_much), model="theirs")
    with pytest.raises(ModelRateLimited):
        await Upstreams([used], RetryBudget(0), 60).complete(CHAT, CALLER)
    assert used.slots.pauses.left("theirs") > 30


async def test_an_open_circuit_is_told_for_as_long_as_it_is_open() -> None:
    used = upstream(Fake(DOWN))
    for _ in range(FAILURES):
        assert used.slots.pauses.all() == {}
        with pytest.raises(ModelDown):
            await Upstreams([used], RetryBudget(0), 60).complete(CHAT, CALLER)
    [(pause, seconds)] = used.slots.pauses.all().items()
    assert pause == (Reason.CIRCUIT, CHAT.model)
    assert 0 < seconds < 2


async def test_a_slot_of_a_dead_provider_is_not_waited_for() -> None:
    used = upstream(Fake(DOWN))
    subject = Upstreams([used], RetryBudget(0), 60)
    for _ in range(FAILURES):
        with pytest.raises(ModelDown):
            await subject.complete(CHAT, CALLER)
    async with asyncio.timeout(10), used.slots.slot(CHAT.model, CALLER):
        with pytest.raises(CircuitOpenError):
            await subject.complete(CHAT, CALLER)


async def test_an_item_of_a_batch_waits_for_a_dead_provider_to_live() -> None:
    provider = Fake(*[DOWN] * FAILURES, GOOD)
    subject = model(provider, budget=Patience())
    for _ in range(FAILURES):
        with pytest.raises(ModelUnavailable):
            await subject.complete(CHAT, CALLER)
    await subject.complete(CHAT, CALLER)
    assert len(provider.asked) == FAILURES + 1


async def test_a_call_is_told_how_long_it_may_take() -> None:
    provider = Fake(GOOD)
    await model(provider, longest_call=50).complete(CHAT, CALLER)
    assert provider.left
    assert provider.left <= 50
    assert deadline.remaining() is None


@pytest.mark.parametrize("error", [DOWN, BUSY])
async def test_a_call_for_an_item_of_a_batch_is_made_once(error: AppError) -> None:
    provider = Fake(error)
    with pytest.raises(type(error)):
        await model(provider, budget=Patience()).complete(CHAT, CALLER)
    assert len(provider.asked) == 1


async def test_a_call_may_not_take_for_ever() -> None:
    with pytest.raises(TimeoutError):
        await model(Hanging(GOOD), longest_call=0.01).complete(CHAT, CALLER)


@pytest.mark.parametrize("provider", [Fake(GOOD), Fake(DOWN), Fake(ModelRejected("no"))])
async def test_every_end_of_a_call_gives_the_slot_back(provider: Fake) -> None:
    used = upstream(provider)
    subject = Upstreams([used], RetryBudget(0), 60)
    for call in (subject.complete(CHAT, CALLER), streamed(subject)):
        with suppress(ModelError):
            await call
        assert used.slots.held == 0


async def test_a_cancelled_call_gives_the_slot_back() -> None:
    used = upstream(Hanging(GOOD))
    call = asyncio.create_task(Upstreams([used], RetryBudget(0), 60).complete(CHAT, CALLER))
    while not used.slots.held:  # noqa: ASYNC110
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert used.slots.held == 0


async def test_a_stream_that_nobody_reads_on_gives_the_slot_back() -> None:
    used = upstream(Fake(GOOD))
    async with aclosing(Upstreams([used], RetryBudget(0), 60).stream(CHAT, CALLER)) as chunks:
        await anext(chunks)
        assert used.slots.held == 1
    assert used.slots.held == 0


@pytest.mark.parametrize("limit", ["model_requests_per_minute", "model_tokens_per_minute"])
async def test_a_minutes_quota_is_kept(limit: str) -> None:
    provider = Fake(GOOD)
    subject = Upstreams([upstream(provider, settings={limit: 2})], RetryBudget(0), 60)
    await subject.complete(CHAT, CALLER)
    if limit == "model_requests_per_minute":
        await subject.complete(CHAT, CALLER)
    with pytest.raises(ModelRateLimited):
        await subject.complete(CHAT, CALLER)
