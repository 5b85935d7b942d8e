"""The resources that one process shares between all its requests or jobs."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter
from redis.asyncio import Redis

from engine.callers.usage_buffer import UsageBuffer
from engine.models.upstreams import Upstreams
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operations
from engine.process.background import Background
from engine.process.cache import Cache
from engine.process.calls import Calls
from engine.process.drain import Drain
from engine.process.http import Http
from engine.process.offload import Offload
from engine.process.pubsub import News
from engine.process.queue import Queue
from engine.process.tokenizer import Tokenizer
from engine.process.webhook_client import WebhookClient
from engine.settings import Settings
from engine.slots.admission_queue import AdmissionQueue
from engine.slots.rates import Rates
from engine.sql.database import Database

if TYPE_CHECKING:
    from engine.jobs.jobs import Jobs  # its functions take a `Run`, which has these resources


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Opened by `app/resources/lifespan.py`. Frozen: no caller's data fits in."""

    settings: Settings
    operations: Operations
    jobs: "Jobs"
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
    """For a URL that a caller or a model names: it connects to public addresses only."""
    webhook_client: WebhookClient
    tokenizer: Tokenizer
    upstreams: Upstreams
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

    def model_for(self, caller_id: str, *, counted: bool = True) -> BoundModel:
        """Return the model bound to a caller. Without `counted` no tokens are added up."""
        counter = self.usage if counted else None
        default = self.settings.default_model
        return BoundModel(self.upstreams, self.tokenizer, caller_id, counter, default, self)
