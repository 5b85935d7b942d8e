"""Failover: asks one provider after the other, each within its slots.

A call takes a slot, fails fast where its provider is dead, goes on to the next provider and is
tried again where that may help. A stream that has begun is never started again. The settings name
the providers.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Self, TypeAlias, TypeVar

from redis.asyncio import Redis

from engine import deadline
from engine.errors import (
    Misconfigured,
    ModelError,
    ModelRateLimited,
    ModelUnavailable,
    Overloaded,
)
from engine.models.failover import Budget, CircuitBreaker, Patience, RetryBudget, circuit_breakers
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
from engine.models.quota import Quota, limiter_of
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings
from engine.slots.pools import open_slots, provider_pools
from engine.slots.redis_semaphore import Pause, Priority, Reason
from engine.slots.semaphore import SlotSemaphore
from engine.watch import metrics

PROVIDERS = {
    "local": "engine.models.local",
    "openai": "engine.models.openai",
    "simulated": "engine.models.simulated",
}
"""The module of each name. It is imported when it is asked for: its packages may be missing."""


@asynccontextmanager
async def open_model(
    settings: Settings, session: UpstreamSession, tokenizer: Tokenizer
) -> AsyncIterator[Model]:
    """Yield the model of `settings.model_provider`: a name above, or a module of the app's own.

    Raise `Misconfigured` where there is none, or a package that it needs is missing.
    """
    provider = _provider(settings.model_provider)
    async with provider.open_provider(settings, session, tokenizer) as model:
        yield model


def _provider(name: str) -> Any:  # noqa: ANN401 -- a module with `open_provider`
    module = PROVIDERS.get(name, name)
    known = f"{', '.join(PROVIDERS)}, or a module as app.features.echo.provider"
    unknown = Misconfigured([f"MODEL_PROVIDER is {name}: it must be one of {known}."])
    if "." not in module or not all(map(str.isidentifier, module.split("."))):
        raise unknown
    try:
        provider = import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise unknown from error
        problem = f"needs {error.name}, which is not installed: try `uv sync --all-groups`."
        raise Misconfigured([f"MODEL_PROVIDER is {name}: it {problem}"]) from error
    if not hasattr(provider, "open_provider"):
        raise unknown
    return provider


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
    slots: SlotSemaphore
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
        async with self.slots.slot(model, caller_id):
            try:
                with circuit.call():
                    yield
                self.slots.succeeded()
                outcome = "answered"
            except ModelRateLimited as error:
                if pause := self.slots.overloaded(model, error.pause):
                    error.retry_after = pause
                outcome = "rate_limited"
                raise
            except TimeoutError:
                self.slots.overloaded(model)
                outcome = "timeout"
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                self.slots.leave_alone(Pause(Reason.CIRCUIT, model), circuit.left)
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
        return {upstream.name: upstream.slots for upstream in self._all}

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
        """List the models of the first provider."""
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
) -> AsyncIterator[dict[Priority, Upstreams]]:
    """Yield the provider of the settings with its fallbacks behind it, for each priority.

    `priority` is the one of most calls of this process. A server of both is opened once.
    """
    limiter = limiter_of(redis, f"{settings.service_slug}:quota")
    slots_of = partial(open_slots, redis=redis, service_slug=settings.service_slug)
    budgets: tuple[Budget, Budget] = RetryBudget(settings.model_retries), Patience()
    opened: dict[Priority, Upstreams] = {}
    servers: dict[str, Upstream] = {}
    async with AsyncExitStack() as stack:
        for each, budget in zip(Priority, budgets, strict=True):
            upstreams = []
            for pool in provider_pools(settings, each):
                same, lazy = servers.get(pool.name), each is not priority
                provider = open_model(pool.settings, session, tokenizer)
                online = same.slots if same else None
                slots = slots_of(pool.name, pool.limits, each, online=online, lazy=lazy)
                upstream = Upstream(
                    name=pool.name,
                    provider=same.provider if same else await stack.enter_async_context(provider),
                    slots=await stack.enter_async_context(slots),
                    circuit_of=same.circuit_of if same else circuit_breakers(),
                    quota=Quota(limiter, pool.name, each, pool.settings),
                    model=pool.model,
                    native=pool.settings.native_responses,
                )
                upstreams.append(upstream)
                servers.setdefault(pool.name, upstream)
            opened[each] = Upstreams(upstreams, budget, settings.request_timeout)
        yield opened
