"""The composition root of API and worker: opens each resource in order, closes in reverse."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread  # noqa: TID251 -- for the framework's limit only

from app import features
from app.settings import Settings
from engine import resources
from engine.agents.agent import Agent, Agents
from engine.agents.mcp import require_mcp
from engine.agents.runs import AWAITED_RUN, BACKGROUND_RUN
from engine.callers.usage import UsageBuffer
from engine.errors import Misconfigured
from engine.jobs.jobs import Job, Jobs
from engine.models.upstreams import open_upstreams
from engine.operations.completions import COMPLETIONS
from engine.operations.operation import CHAT, EMBEDDINGS, Operation, Operations
from engine.options import installed_options, model_owners
from engine.process.address_guard import open_guarded_http
from engine.process.cache import Cache
from engine.process.drain import open_drain
from engine.process.http import http_over, open_upstream_session
from engine.process.offload import Offload
from engine.process.pubsub import open_news
from engine.process.queue import queue_of
from engine.process.redis import open_redis
from engine.process.tasks import open_background
from engine.process.tokenizer import open_tokenizer
from engine.process.webhook_client import WebhookClient
from engine.resources import Opening
from engine.responses.answering import RESPONSES
from engine.responses.background import RESPOND
from engine.settings import NO_REDIS
from engine.slots.admission_queue import AdmissionQueue, CoDel
from engine.slots.caller_limits import Rates
from engine.slots.redis_semaphore import Priority
from engine.sql.database import open_database
from engine.watch.saturation import Exhaustion, Stalls, frozen_heap, measured_garbage
from engine.watch.watchdog import Watchdog, open_watchdog
from engine.worker.retention import RETENTION

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources(resources.Resources):
    """Resources that one process shares. Your own: a field here, and a line in `open_resources`."""

    settings: Settings


@asynccontextmanager
async def open_resources(
    settings: Settings, priority: Priority = Priority.ONLINE
) -> AsyncIterator[Resources]:
    """Yield all resources. Raise `OpenError` when one fails, after closing the ones before it.

    `priority` belongs to this process's calls to the model: a worker's come behind online calls,
    unless they ask for another.
    Requests and background tasks come last, so that they end while all that they use is open.
    """
    async with AsyncExitStack() as stack:
        opening = Opening(stack, settings)
        offload = Offload(settings.offload_threads, settings.offload_processes)
        watchdog = await _watch(opening, stack, settings, offload)
        database = await opening.enter("database", open_database(settings))
        redis = None
        if settings.redis_url != NO_REDIS:
            redis = await opening.enter("redis", open_redis(settings))
        channel, online = f"{settings.service_slug}:responses", priority is Priority.ONLINE
        news = await opening.enter("news", open_news(redis, channel, listen=online))
        session = await opening.enter("http", open_upstream_session(settings))
        guarded_http = await opening.enter("guarded_http", open_guarded_http(settings))
        tokenizer = await opening.enter("tokenizer", open_tokenizer(offload))
        upstreams = await opening.enter(
            "model", open_upstreams(settings, priority, session, redis, tokenizer)
        )
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
            operations=all_operations(),
            jobs=all_jobs(),
            agents=all_agents(settings.default_model),
            offload=offload,
            cache=Cache(settings.cache_entries, settings.key_cache_seconds),
            database=database,
            redis=redis,
            queue=queue_of(redis, settings.service_slug),
            news=news,
            rates=Rates(redis, settings.service_slug),
            http=http_over(session, settings),
            guarded_http=guarded_http,
            webhook_client=WebhookClient(guarded_http, settings),
            tokenizer=tokenizer,
            priority=priority,
            _upstreams=upstreams,
            background=background,
            usage=UsageBuffer(database, tokenizer, background),
            drain=drain,
            admission_queue=AdmissionQueue(
                settings.max_requests,
                settings.max_waiting,
                CoDel(settings.queue_target, settings.queue_interval),
            ),
            streams=CapacityLimiter(settings.max_streams),
            progress_streams=CapacityLimiter(settings.progress_streams),
            model_owners=model_owners(settings, database),
            options={
                name: option.state(settings)
                for name, option in installed_options().items()
                if option.state
            },
        )


def all_operations() -> Operations:
    """Return the operations of OpenAI and of the features, by URL."""
    own: list[Operation[Any]] = [CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES]
    return _distinct("operations", [(each.url, each) for each in (*own, *features.OPERATIONS)])


def all_jobs() -> Jobs:
    """Return the jobs of the engine, its options and the features, by name."""
    own: list[Job[Any]] = [RESPOND, AWAITED_RUN, BACKGROUND_RUN, RETENTION]
    options = [job for option in installed_options().values() for job in option.jobs]
    return _distinct("jobs", [(each.name, each) for each in (*own, *options, *features.JOBS)])


def all_agents(default_model: str | None = None) -> Agents:
    """Return the agents of the features, by name; an agent cannot ask another."""
    listed: list[Agent] = getattr(features, "AGENTS", [])  # an older list of features lacks it
    if any(each.mcp for each in listed):
        require_mcp()
    found = _distinct("agents", [(each.name, each) for each in listed])
    asked = {default_model, *(each.model for each in listed)}
    if wrong := [name for name in found if name in asked]:
        reason = "has the name of a model that DEFAULT_MODEL or an agent asks: rename it."
        raise Misconfigured([f"The agent {name} {reason}" for name in wrong])
    return found


def _distinct(kind: str, named: Sequence[tuple[str, T]]) -> dict[str, T]:
    """Return the things by their names; raise `Misconfigured` where two have the same."""
    times = Counter(name for name, _ in named)
    if twice := [name for name, count in times.items() if count > 1]:
        raise Misconfigured([f"Two {kind} have the name {name}: rename one." for name in twice])
    return dict(named)


async def _watch(
    opening: Opening, stack: AsyncExitStack, settings: Settings, offload: Offload
) -> Watchdog:
    """Watch the threads and the garbage collector; return the watchdog of the event loop."""
    stalls = Stalls(every_one=not settings.production)
    watched = open_watchdog(settings.stall_threshold, stalls.tell)
    watchdog = await opening.enter("heartbeat", watched)
    framework = to_thread.current_default_thread_limiter()
    framework.total_tokens = settings.framework_threads
    threads = {"offload_threads": offload.threads, "framework_threads": framework}
    garbage = stack.enter_context(measured_garbage())
    watchdog.heartbeat.listeners += [Exhaustion(threads).look, garbage.tell]
    return watchdog
