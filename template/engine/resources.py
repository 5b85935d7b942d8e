"""The resources that one process shares between all its requests or jobs, and their opening."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter
from redis.asyncio import Redis

from engine.callers.usage import UsageBuffer
from engine.errors import OpenError
from engine.models.interface import ModelCard
from engine.models.upstreams import Upstreams
from engine.operations.bound_model import BoundModel, ModelOwners
from engine.operations.operation import Operations
from engine.process.cache import Cache
from engine.process.drain import Drain
from engine.process.http import Http
from engine.process.offload import Offload
from engine.process.pubsub import News
from engine.process.queue import Queue
from engine.process.tasks import Background
from engine.process.tokenizer import Tokenizer
from engine.process.webhook_client import WebhookClient
from engine.settings import Settings
from engine.slots.admission_queue import AdmissionQueue
from engine.slots.caller_limits import Calls, Rates
from engine.slots.redis_semaphore import Priority
from engine.slots.semaphore import SlotSemaphore
from engine.sql.database import Database

if TYPE_CHECKING:
    from engine.agents.agent import Agents
    from engine.jobs.jobs import Jobs  # its functions take a `Run`, which has these resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Opened by `app/resources/lifespan.py`. Frozen: no caller's data fits in."""

    settings: Settings
    operations: Operations
    jobs: "Jobs"
    agents: "Agents"
    offload: Offload
    cache: Cache[str, object]
    database: Database
    redis: Redis | None
    """None where `redis_url` is `none`."""
    queue: Queue
    news: News
    """Of background responses: their readers hear of new events."""
    rates: Rates
    http: Http
    guarded_http: Http
    """For a URL that a caller or a model names, and MCP servers: only to public addresses."""
    webhook_client: WebhookClient
    tokenizer: Tokenizer
    priority: Priority
    """The priority of this process's calls to the model, unless a call has its own."""
    _upstreams: Mapping[Priority, Upstreams]
    """Called only by the model that `model_for` binds to a caller."""
    background: Background
    usage: UsageBuffer
    drain: Drain
    admission_queue: AdmissionQueue
    streams: CapacityLimiter
    progress_streams: CapacityLimiter
    calls: Calls = field(default_factory=Calls)
    probes: Cache[str, Any] = field(default_factory=lambda: Cache(entries=100, seconds=1.0))
    """Answers to probes and scrapes: a flood of them, without a key, asks once a second."""
    depths: Cache[str, Any] = field(default_factory=lambda: Cache(entries=1, seconds=5.0))
    """Depths of the queues, for which the database has to count."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The state of each option that has one: see `engine/options.py`."""
    model_owners: ModelOwners | None = None
    """Of the option that has models of single callers."""
    mcp_listings: Cache[Any, Any] = field(default_factory=lambda: Cache(entries=100, seconds=300.0))
    """Tools of MCP servers, by address and headers."""

    async def models(self) -> list[ModelCard]:
        """List the models of the first provider: its fallbacks stand in for it."""
        return await self._upstreams[self.priority].models()

    @property
    def slots(self) -> dict[tuple[str, Priority], SlotSemaphore]:
        """The slots in use, by the name of their provider and the priority of their calls."""
        return {
            (name, priority): slots
            for priority, upstreams in self._upstreams.items()
            for name, slots in upstreams.slots.items()
            if slots.in_use.is_set()
        }


def model_for(
    resources: Resources,
    caller_id: str,
    priority: Priority | None = None,
    *,
    counted: bool = True,
) -> BoundModel:
    """Return the model bound to a caller, at this priority or else the process's own.

    Online calls are for a caller who waits, also in a worker: they go before batches, and end with
    an error where they would wait long. Without `counted` no tokens are added up.
    """
    upstreams = resources._upstreams[priority or resources.priority]  # noqa: SLF001
    return BoundModel(upstreams, resources, caller_id, counted=counted)


T = TypeVar("T")
log = logging.getLogger(__name__)


class Opening:
    """Enters resources on a stack, each with a time limit for its opening and its closing."""

    def __init__(self, stack: AsyncExitStack, settings: Settings) -> None:
        self._stack = stack
        self._open_timeout = settings.open_timeout
        self._close_timeout = settings.close_timeout

    async def enter(self, name: str, resource: AbstractAsyncContextManager[T]) -> T:
        """Return the opened resource; raise `OpenError` when it fails or takes too long."""
        try:
            async with asyncio.timeout(self._open_timeout):
                opened = await resource.__aenter__()
        except TimeoutError as error:
            raise OpenError(f"{name} did not open within {self._open_timeout:g} s") from error
        except Exception as error:
            reason = getattr(error, "orig", error)  # SQLAlchemy wraps the driver's error
            raise OpenError(f"{name} could not be opened: {reason}") from error
        self._stack.push_async_callback(self._close, name, resource)
        return opened

    async def _close(self, name: str, resource: AbstractAsyncContextManager[T]) -> None:
        try:
            async with asyncio.timeout(self._close_timeout):
                await resource.__aexit__(None, None, None)
        except Exception:
            log.exception("%s did not close well; the other resources are closed too", name)
