"""Limits of a process, and its metrics."""

from pydantic import BaseModel, ConfigDict

from engine.settings.values import (
    Amount,
    Count,
    Key,
    Port,
    Positive,
    Seconds,
)

MIB = 1024 * 1024


class LimitSettings(BaseModel):
    """Limits of a process, and its metrics."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    # Limits
    request_timeout: Positive = 600.0
    """Deadline of one request, its upload and its waits for a place and a model included, until its
    answer begins. A client may ask for less with `X-Request-Timeout`. No wait for the request lasts
    longer. Cost: 6 µs for each request."""
    send_timeout: Positive = 60.0
    """Time in which a reader takes at least 16 KiB of the answer that waits for it; a slower reader
    is cut off. An answer that has begun has no other limit. nginx waits for a minute too."""
    max_requests: Count = 1000
    """Requests that one API process serves at once, but for streams and probes; more wait in the
    admission queue. Cost of the way in and out: 3 µs for each request."""
    max_waiting: Amount = 1000
    """Requests of one process that may wait in the admission queue; more get a 503 at once."""
    queue_target: Seconds = 0.1
    """CoDel: longest wait for a place once there has been a queue for `queue_interval`. After a
    longer wait a request gets a 503, so that the requests behind it are served in time."""
    queue_interval: Seconds = 2.0
    """CoDel: longest wait otherwise. Twenty times the target, as Facebook had them."""
    max_streams: Count = 1000
    """Answers that one process streams at once; more get a 503."""
    calls_per_caller: Count = 500
    """Model calls of one caller in flight at once in one API process, not in all together; more get
    a 429. Half of a process, so that no caller fills it alone."""
    max_body_bytes: Count = 10 * MIB
    """Largest request body, but for uploads."""
    max_file_bytes: Count = 200 * MIB
    """Largest upload. 200 MiB is OpenAI's limit for batch files."""
    max_batch_lines: Count = 50_000
    """Most lines of one batch. 50,000 is OpenAI's limit."""
    requests_per_minute: Amount = 600
    """Model calls a minute of one caller, unless its key says otherwise. 0: no limit."""
    tokens_per_minute: Amount = 10_000_000
    """Tokens a minute of one caller, as OpenAI counts them at its door: the larger of `max_tokens`
    and a quarter of the characters. 0: no limit."""
    progress_streams: Amount = 100
    """Callers of one API process that may watch a batch live; more get a 503. Each one costs a
    read of the database a second."""
    idempotency_seconds: Seconds = 86_400.0
    """How long the answer to a request with an `Idempotency-Key` is remembered."""
    feature_flags: frozenset[str] = frozenset({"triage"})
    """Features that are on for every caller, as a JSON list; a key can have more of its own."""
    key_cache_seconds: Seconds = 5.0
    """How long an API key is remembered, so also how long a revoked one may live on.
    Without the memory each request costs one more database read."""
    cache_entries: Count = 10_000
    """Most entries of the in-memory cache."""

    # Outgoing HTTP
    http_connections: Count = 1000
    """Most open connections to other servers: model servers and `resources.http` share one pool."""
    http_connect_timeout: Positive = 5.0
    """Longest wait for another server to accept a connection."""
    http_read_timeout: Positive = 120.0
    """Longest silence of a server; a whole answer of a model has all of its request's time.
    After it no server is asked again, since this one may charge for its work."""

    # Work off the event loop
    offload_threads: Count = 16
    """Blocking calls at once in threads of this process; more wait."""
    framework_threads: Count = 40
    """Threads that all `def` handlers, `def` dependencies and large uploads of this process share;
    more calls wait. 40 is AnyIO's default. A slow library gets threads apart by `own_threads`."""
    offload_processes: Count = 2
    """Processor-bound calls at once in helper processes; more wait."""
    background_tasks: Count = 1000
    """Small tasks after the answer has left, at once; more are refused."""
    open_timeout: Positive = 60.0
    """Longest wait for any one resource at the start. A local model may take a while to load."""
    close_timeout: Positive = 10.0
    """Longest wait for any one resource at the end."""

    # Metrics
    metrics_token: Key | None = None
    """Bearer token for `GET /metrics`. Unset: any client that reaches the port may read it.
    Cost: 3 µs for each request, 1 ms of the event loop for each read."""
    worker_metrics_port: Port = 0
    """Port on `host` where a worker answers `GET /metrics`, and `/live` and `/ready` for probes.
    0: none."""

    stall_seconds: Seconds | None = None
    """Watchdog: an event loop that is blocked for longer has a stall; the blocking line is logged.
    Unset: 0.1 in development, 0.25 in production. 0: no watchdog. Cost: 0.2 % of a processor in an
    idle process."""
