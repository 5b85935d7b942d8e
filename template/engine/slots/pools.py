"""Provider pools: the providers in the order of failover, each with its slots."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from engine.process.pubsub import listen_for_ever
from engine.process.redis import AWAY
from engine.process.tasks import end_tasks
from engine.settings import Fallback, Settings
from engine.slots.redis_semaphore import Priority, RedisSemaphore
from engine.slots.semaphore import Limits, SlotSemaphore


@dataclass(frozen=True, slots=True)
class ProviderPool:
    """One provider, with settings of its own; calls under the same name share its slots."""

    name: str
    settings: Settings
    model: str | None = None
    """The model that it is asked for instead of the caller's."""

    @property
    def limits(self) -> Limits:
        """How its slots are shared out."""
        own = self.settings
        return Limits(
            slots=own.slots,
            reserve=own.model_slots_reserve,
            lease=own.model_slot_lease,
            longest_wait=own.model_slot_wait,
            target=own.model_slot_target,
            alone=own.model_slots_alone,
            batch_pause_wait=own.batch_pause_wait,
            longest_pause=own.model_pause_max,
        )


def provider_pools(settings: Settings, priority: Priority) -> Iterator[ProviderPool]:
    """Yield the provider of the settings, then its fallbacks. The same name is the same server."""
    own: dict[str, Any] = {}
    batch = priority is Priority.BATCH and settings.model_provider != "local"  # loaded once only
    if batch and settings.batch_openai_base_url:
        own["openai_base_url"] = settings.batch_openai_base_url
    if batch and settings.batch_openai_api_key:
        own["openai_api_key"] = settings.batch_openai_api_key
    name = _name("first", settings.model_provider) + ("-batch" if own else "")
    yield ProviderPool(name, settings.model_copy(update=own))
    for number, fallback in enumerate(settings.model_fallbacks, 1):
        yield ProviderPool(
            _name(f"fallback-{number}", fallback.provider),
            settings.model_copy(update=_changes(fallback)),
            fallback.model,
        )


def _changes(fallback: Fallback) -> dict[str, Any]:
    changes = {
        "model_provider": fallback.provider,
        "openai_base_url": fallback.base_url,
        "openai_api_key": fallback.api_key,
        "openai_responses": fallback.responses,
    }
    given: dict[str, Any] = {name: each for name, each in changes.items() if each is not None}
    if fallback.base_url:
        given.setdefault("openai_responses", None)  # of another server
    return {**given, "model_slots": fallback.slots}


def _name(place: str, provider: str) -> str:
    """Return the name of a pool; a local model's slots are each machine's own."""
    machine = f"-{socket.gethostname()}" if provider == "local" else ""
    return f"{place}-{provider}{machine}"


def redis_semaphore_of(
    redis: Redis, service_slug: str, name: str, limits: Limits, priority: Priority
) -> RedisSemaphore:
    """Return this process's part in the slots of the provider `name`."""
    return RedisSemaphore(redis, f"{service_slug}:slots:{name}", priority, limits.lease)


@asynccontextmanager
async def open_slots(
    name: str,
    limits: Limits,
    priority: Priority,
    redis: Redis | None,
    service_slug: str,
    *,
    online: SlotSemaphore | None = None,
    lazy: bool = False,
) -> AsyncIterator[SlotSemaphore]:
    """Yield the slots of the provider `name`; give all back at the end.

    `online` are this process's slots of the same provider for online calls. `lazy` slots are no
    process in Redis, and have no connection to it, before their first call.
    """
    shared = None
    if redis is not None:
        shared = redis_semaphore_of(redis, service_slug, name, limits, priority)
    slots = SlotSemaphore(name, limits, priority, shared, online)
    if not lazy:
        slots.in_use.set()
    if redis is None or shared is None:
        yield slots
        return

    async def listen() -> None:
        await slots.in_use.wait()
        await listen_for_ever(redis, shared.channel, shared.process, slots.heard)

    tasks = [asyncio.create_task(slots.report_for_ever()), asyncio.create_task(listen())]
    try:
        yield slots
    finally:
        await end_tasks(*tasks)
        with suppress(*AWAY):
            await shared.sign_off()
