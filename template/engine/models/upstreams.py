"""Failover: asks one provider after the other, each within its slots.

A call takes a slot, fails fast where its provider is dead, goes on to the next provider and is
tried again where that may help. A stream that has begun is never started again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, TypeVar

from redis.asyncio import Redis

from engine import deadline
from engine.errors import (
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
    Overloaded,
)
from engine.models.circuit_breaker import CircuitBreaker, circuit_breakers
from engine.models.interface import (
    Answer,
    ChatRequest,
    Chunk,
    EmbeddingsRequest,
    Model,
    ModelCard,
    Progress,
    ResponseChat,
)
from engine.models.providers import open_model
from engine.models.quota import Quota, limiter_of
from engine.models.retries import Budget, Patience, RetryBudget
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings
from engine.slots.pauses import Pause, Reason
from engine.slots.pools import open_capacity, provider_pools
from engine.slots.redis_semaphore import Priority
from engine.slots.semaphore import SlotSemaphore
from engine.watch import metrics

Request: TypeAlias = ChatRequest | EmbeddingsRequest
R = TypeVar("R", ChatRequest, EmbeddingsRequest)
T = TypeVar("T")

PASSING = (ModelRateLimited, ModelUnavailable, Overloaded)
"""Errors that another provider, or the same one a moment later, may not have."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """One provider, with the slots, circuit breakers and quota that protect it."""

    name: str
    provider: Model
    capacity: SlotSemaphore
    circuit_of: Callable[[str], CircuitBreaker]
    quota: Quota
    model: str | None = None
    """The model that this provider is asked for instead of the caller's."""
    native: bool = False
    """Whether it speaks Responses; if not, it gets them as chats."""

    @asynccontextmanager
    async def call(self, request: Request, caller_id: str) -> AsyncIterator[None]:
        """Hold a slot for one call, and learn from how it ends."""
        outcome, model = "cancelled", self.model or request.model
        circuit = self.circuit_of(model)
        circuit.check()  # before any wait, in which it may open
        await self.quota.spend(request)
        async with self.capacity.slot(model, caller_id):
            try:
                with circuit.call():
                    yield
                self.capacity.succeeded()
                outcome = "answered"
            except ModelRateLimited as error:
                if pause := self.capacity.overloaded(model, error.pause):
                    error.retry_after = pause
                outcome = "rate_limited"
                raise
            except TimeoutError:
                self.capacity.overloaded(model)
                outcome = "timeout"
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                self.capacity.leave_alone(Pause(Reason.CIRCUIT, model), circuit.left)
                metrics.model_calls.labels(self.name, outcome).inc()

    def request(self, request: R) -> R:
        """Return the request as this provider is to get it."""
        return request if self.model is None else request.model_copy(update={"model": self.model})


class Upstreams:
    """All providers as one model: the first that can answers.

    Each call names its caller, since slots go to callers in turns: `BoundModel` does so.
    """

    def __init__(self, upstreams: list[Upstream], budget: Budget, longest_call: float) -> None:
        self._all = upstreams
        self._budget = budget
        self._longest_call = longest_call

    @property
    def slots(self) -> dict[str, SlotSemaphore]:
        """The slots of each provider by its name."""
        return {upstream.name: upstream.capacity for upstream in self._all}

    @property
    def left_alone(self) -> Counter[Reason]:
        """The number of models that are paused at the moment, by the reason."""
        pauses = (upstream.capacity.pauses.all() for upstream in self._all)
        return Counter(pause.reason for each in pauses for pause in each)

    def able(self, request: Request) -> list[Upstream]:
        """Return the providers that know what it asks for. Raise its refusal where none does."""
        if not isinstance(request, ResponseChat) or request.refusal is None:
            return self._all
        able = [upstream for upstream in self._all if upstream.native]
        if not able:
            raise request.refusal
        return able

    async def complete(
        self, request: ChatRequest, caller_id: str, so_far: Progress | None = None
    ) -> Answer:
        """Answer a chat as a whole."""
        return await self._ask(
            request, caller_id, lambda up: up.provider.complete(up.request(request), so_far)
        )

    async def embed(self, request: EmbeddingsRequest, caller_id: str) -> Answer:
        """Embed each input."""
        return await self._ask(
            request, caller_id, lambda up: up.provider.embed(up.request(request))
        )

    async def stream(self, request: ChatRequest, caller_id: str) -> AsyncGenerator[Chunk, None]:
        """Answer a chat as it is generated; an error after the first chunk is the end of it."""
        tries = Tries(self.able(request), self._budget)
        async for upstream in tries:
            begun = False
            try:
                async with (
                    upstream.call(request, caller_id),
                    aclosing(upstream.provider.stream(upstream.request(request))) as chunks,
                ):
                    async for chunk in chunks:
                        begun = True
                        yield chunk
            except PASSING as error:
                if begun:
                    raise
                tries.failed(error)
            else:
                return

    async def models(self) -> list[ModelCard]:
        """List the models of the first provider: its fallbacks stand in for it."""
        return await self._all[0].provider.models()

    async def _ask(
        self, request: R, caller_id: str, ask: Callable[[Upstream], Coroutine[Any, Any, T]]
    ) -> T:
        tries = Tries(self.able(request), self._budget)
        async for upstream in tries:
            try:
                # Counted from here: a batch may wait for its slot as long as it must.
                async with upstream.call(request, caller_id), deadline.within(self._longest_call):
                    return await ask(upstream)
            except PASSING as error:
                tries.failed(error)
        raise AssertionError("unreachable: the last failure is raised")


class Tries:
    """The providers to ask for one call, in order, and again after a wait while that may help."""

    def __init__(self, upstreams: list[Upstream], budget: Budget) -> None:
        self._all = upstreams
        self._left = list(upstreams)
        self._budget = budget
        self._retries = 0
        self._failure: ModelError | Overloaded | None = None
        budget.earn()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Upstream:
        """Return the next provider to ask; raise the last failure where there is none."""
        if not self._left:
            assert self._failure  # noqa: S101 -- each has failed
            wait = self._budget.wait(self._retries, self._failure)
            if wait is None:
                raise self._failure
            await asyncio.sleep(wait)
            self._retries += 1
            self._left = list(self._all)
        return self._left.pop(0)

    def failed(self, error: ModelError | Overloaded) -> None:
        """Note why the last one gave no answer."""
        self._failure = error


@asynccontextmanager
async def open_upstreams(
    settings: Settings,
    priority: Priority,
    session: UpstreamSession,
    redis: Redis | None,
    tokenizer: Tokenizer,
) -> AsyncIterator[Upstreams]:
    """Yield the provider of the settings with its fallbacks behind it."""
    limiter = limiter_of(redis, f"{settings.service_slug}:quota")
    online = priority is Priority.ONLINE
    budget: Budget = RetryBudget(settings.model_retries) if online else Patience()
    async with AsyncExitStack() as stack:
        upstreams = []
        for pool in provider_pools(settings, priority):
            slots = open_capacity(pool.name, pool.limits, priority, redis, settings.service_slug)
            provider = open_model(pool.settings, session, tokenizer)
            upstreams.append(
                Upstream(
                    name=pool.name,
                    provider=await stack.enter_async_context(provider),
                    capacity=await stack.enter_async_context(slots),
                    circuit_of=circuit_breakers(),
                    quota=Quota(limiter, pool.name, priority, pool.settings),
                    model=pool.model,
                    native=pool.settings.native_responses,
                )
            )
        yield Upstreams(upstreams, budget, settings.request_timeout)
