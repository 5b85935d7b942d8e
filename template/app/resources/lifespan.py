"""Opens every resource in order, closes them in reverse. The same for API and worker."""

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread  # noqa: TID251 -- asked for its limit only
from redis.asyncio import Redis

from engine.process.background import Background, open_background
from engine.process.cache import Cache
from engine.process.calls import Calls
from engine.sql.database import Database, open_database
from engine.process.drain import Drain, open_drain
from engine.process.garbage import frozen_heap, measured_garbage
from engine.process.http import Http, open_http
from engine.slots.redis_semaphore import Priority
from engine.models.interface import Model
from engine.process.offload import Offload
from engine.process.opening import Opening
from engine.process.queue import Queue, queue_of
from engine.slots.rates import Rates
from engine.process.webhook_client import Receivers, open_receivers
from engine.process.redis import open_redis
from engine.slots.admission_queue import ControlledDelay, Room
from engine.watch.saturation import Exhaustion, Stalls
from engine.models.usage_buffer import Tallies
from engine.process.tokenizer import Tokenizer, open_tokenizer
from engine.models.upstreams import open_upstreams
from engine.watch.watchdog import Watchdog, open_watchdog
from engine.settings import NO_REDIS, Settings

T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Resources:
    """What one process shares between all its requests or jobs. Frozen: nobody's data fits in."""

    settings: Settings
    offload: Offload
    cache: Cache[str, object]
    database: Database
    redis: Redis | None
    """None where `redis_url` is `none`."""
    queue: Queue
    rates: Rates
    http: Http
    receivers: Receivers
    tokenizer: Tokenizer
    model: Model
    background: Background
    drain: Drain
    room: Room
    streams: CapacityLimiter
    progress_streams: CapacityLimiter
    calls: Calls = field(default_factory=Calls)
    tallies: Tallies = field(default_factory=Tallies)
    probes: Cache[str, Any] = field(default_factory=lambda: Cache(entries=100, seconds=1.0))
    """What probes and scrapes are told: a flood of them, without a key, asks once a second."""
    depths: Cache[str, Any] = field(default_factory=lambda: Cache(entries=1, seconds=5.0))
    """How much work there is, for which the database has to count."""

    async def default_model(self) -> str:
        """Return the model of the app's own features: the setting, or the provider's first."""
        return self.settings.default_model or (await self.model.models())[0].id


@asynccontextmanager
async def open_resources(
    settings: Settings, priority: Priority = Priority.ONLINE
) -> AsyncIterator[Resources]:
    """Yield all resources. Raise `OpenError` when one fails, after closing those before it.

    `priority` is that of this process's calls to the model: a worker's come behind people's.
    Requests and background tasks come last, so that they end while all that they use is open.
    """
    async with AsyncExitStack() as stack:
        offload = Offload(settings.offload_threads, settings.offload_processes)
        opening = Opening(stack, settings)
        watchdog = await _watch(opening, stack, settings, offload)
        database = await opening.enter("database", open_database(settings))
        clients = await _open_clients(opening, settings, priority, offload)
        background = await opening.enter(
            "background", open_background(settings.background_tasks, settings.close_timeout / 2)
        )
        drain = await opening.enter(
            "requests", open_drain(settings.readiness_seconds, settings.shutdown_grace)
        )
        stack.enter_context(frozen_heap())
        watchdog.start()
        yield Resources(
            settings=settings,
            offload=offload,
            cache=Cache(settings.cache_entries, settings.key_cache_seconds),
            database=database,
            **clients,
            background=background,
            drain=drain,
            room=Room(
                settings.max_requests,
                settings.max_waiting,
                ControlledDelay(settings.queue_target, settings.queue_interval),
            ),
            streams=CapacityLimiter(settings.max_streams),
            progress_streams=CapacityLimiter(settings.progress_streams),
        )


async def _open_clients(
    opening: Opening, settings: Settings, priority: Priority, offload: Offload
) -> dict[str, Any]:
    """Open what speaks with other servers, and the model, which needs most of it."""
    redis = None
    if settings.redis_url != NO_REDIS:
        redis = await opening.enter("redis", open_redis(settings))
    http = await opening.enter("http", open_http(settings))
    receivers = await opening.enter("receivers", open_receivers(settings))
    tokenizer = await opening.enter("tokenizer", open_tokenizer(offload))
    model = open_upstreams(settings, priority, http, redis, tokenizer)
    return {
        "redis": redis,
        "queue": queue_of(redis, settings.service_slug),
        "rates": Rates(redis, settings.service_slug),
        "http": http,
        "receivers": receivers,
        "tokenizer": tokenizer,
        "model": await opening.enter("model", model),
    }


async def _watch(
    opening: Opening, stack: AsyncExitStack, settings: Settings, offload: Offload
) -> Watchdog:
    """Have the threads and the garbage collector watched; return who will watch the event loop."""
    stalls = Stalls(every_one=not settings.production)
    watched = open_watchdog(settings.stall_threshold, stalls.tell)
    watchdog = await opening.enter("heartbeat", watched)
    threads = {
        "offload_threads": offload.threads,
        "framework_threads": to_thread.current_default_thread_limiter(),
    }
    garbage = stack.enter_context(measured_garbage())
    watchdog.heartbeat.listeners += [Exhaustion(threads).look, garbage.tell]
    return watchdog
