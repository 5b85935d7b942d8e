"""Every knob once: its name, its default, what it decides.

Values come, strongest first, from the environment, `.env`, `settings.toml` and the defaults below.
`app settings` shows each value and where it came from; `.env.example` is made from this class.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

MIB = 1024 * 1024
OPENAI_URL = "https://api.openai.com/v1"
NO_REDIS = "none"

LAST_WORDS = 1.0
"""Seconds that requests which are cut off have to say so, before uvicorn cancels them."""


class Fallback(BaseModel):
    """A provider that stands in for the first one. What is not given is as in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = "openai"
    base_url: str | None = None
    api_key: SecretStr | None = None
    model: str | None = None
    """What it is asked for. Unset: what the caller asks for."""
    slots: Annotated[int | None, Field(ge=1)] = None


class Settings(BaseSettings):
    """The settings of both processes. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        toml_file="settings.toml",
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
    )

    # Service
    service_name: str = "LLM API"
    """Title of the API in its documentation."""
    service_description: str = "Chat, embeddings and batches over the OpenAI protocol."
    """Description of the API in its documentation."""
    service_slug: str = "llm-api"
    """Prefix of every key in Redis, so that several services can share one server."""
    app_env: Literal["development", "production"] = "development"
    """`development` fills every gap by itself; `production` refuses to start with a gap."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe log line that is written."""
    host: str = "127.0.0.1"
    """Address that the API listens on. Containers need 0.0.0.0."""
    port: int = 8000
    """Port that the API listens on."""
    readiness_grace: float | None = None
    """How long a stopping API takes requests while `/ready` says 503, so that load balancers turn
    away first. Unset: 5 in production, 0 in development, where nobody looks at `/ready`."""
    shutdown_grace: float = 30.0
    """How long a stopping process then waits for work in flight before it cuts it off."""

    # Storage
    data_dir: Path = Path(".data")
    """Where development keeps its database and its Redis."""
    database_url: str | None = None
    """`postgresql://…` or `sqlite:///…`. Unset: SQLite in `data_dir`, in development only."""
    database_connections: int = 5
    """Connections per process to PostgreSQL, or reading threads on SQLite."""
    redis_url: str | None = None
    """`redis://…`, `rediss://…` or `unix://…`. Unset: `app dev` starts its own server.
    `none`: do without one, in development only. Nothing is lost, but work starts later."""

    # Model
    model_provider: str = "local"
    """`local`: a small model in this process. `openai`: any OpenAI-compatible server.
    `simulated`: deterministic text, for tests and load tests."""
    default_model: str | None = None
    """Model that the app's own features ask. Unset: the first that the provider lists."""
    local_model_path: Path | None = None
    """A GGUF file for the `local` provider. Unset: SmolLM2-135M-Instruct from its package."""
    local_context: int = 2048
    """Tokens of prompt and answer that one local conversation may have."""
    local_parallel: int = 2
    """Conversations that the local model generates at once; more wait."""
    local_threads: int = 2
    """Processor threads of the local model."""
    openai_base_url: str = OPENAI_URL
    """Server of the `openai` provider: OpenAI, vLLM, Ollama, llama.cpp, LiteLLM or this app."""
    openai_api_key: SecretStr | None = None
    """Key for `openai_base_url`. Servers that need none may go without."""
    simulated_latency: float = 0.05
    """Time to the first token of the `simulated` provider."""
    simulated_tokens_per_second: float = 200.0
    """Speed of the `simulated` provider after its first token."""
    simulated_parallel: int = 1000
    """Calls that the `simulated` provider of one process answers at once; more wait."""
    simulated_error_rate: float = 0.0
    """Share of simulated calls, 0 to 1, that fail with a server error."""
    simulated_rate_limit_rate: float = 0.0
    """Share of simulated calls, 0 to 1, that are refused as too many."""
    simulated_seed: int = 0
    """Two processes with the same seed give the same answers and the same errors."""

    model_slots: Annotated[int | None, Field(ge=1)] = None
    """Calls to the model at once, from all processes together. Unset: `local_parallel` on each
    machine, `simulated_parallel`, or 50 for `openai`. The provider's refusals lower it."""
    model_slots_reserve: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the slots that batches leave free for the next online caller. Of 2, 5 and 10 of 50
    none was better than the others; without any, callers waited for a whole call of a batch."""
    model_slot_lease: Annotated[float, Field(ge=1)] = 6.0
    """After this time the slots of a process that was killed are free again."""
    model_slot_wait: float = 20.0
    """Longest wait of an online call for its slot; then it is refused."""
    model_slot_target: float = 2.0
    """Longest wait once there has been a queue for `model_slot_wait`: who is served after ten calls
    of others has often gone by then."""
    model_slots_alone: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the slots that online calls use while Redis is away: each process takes its part.
    Half, since a process that started meanwhile is not known to the others. Batches wait."""
    batch_pause_wait: float = 1.0
    """Wait of an online call for its slot from which on batches pause for some seconds."""
    model_requests_per_minute: int = 0
    """Calls a minute that the provider allows, from all processes together. 0: no limit."""
    model_tokens_per_minute: int = 0
    """Tokens a minute that it allows, as OpenAI counts them at its door. 0: no limit."""
    model_retries: Annotated[int, Field(ge=0)] = 1
    """Times that an online call is tried again where that may help and few calls fail. One, since
    OpenAI's clients try twice by themselves. Items of batches have `batch_attempts`."""
    model_fallbacks: tuple[Fallback, ...] = ()
    """Providers to ask, in this order, where the first one fails or is full: a JSON list of
    `{"provider": "openai", "base_url": "https://…", "api_key": "…", "model": "…", "slots": 10}`."""
    batch_openai_base_url: str | None = None
    """Server of the `openai` provider for batches, which then have slots of their own."""
    batch_openai_api_key: SecretStr | None = None
    """Key for batches, which then have slots of their own."""

    # Limits
    request_timeout: float = 600.0
    """Longest time for one request, its upload and its wait for a place and a model included, until
    its answer begins, or a model's stream ends; a client may ask for less with `X-Request-Timeout`.
    Whatever waits for it waits no longer. To keep it costs a request 6 µs."""
    max_requests: Annotated[int, Field(ge=1)] = 1000
    """Requests that one API process serves at once, but for streams and probes; others wait.
    The way in and out costs a request 3 µs."""
    max_waiting: int = 1000
    """Requests of one process that may wait for their turn; more get a 503 at once."""
    queue_target: float = 0.1
    """Longest wait for a turn once there has been a queue for `queue_interval`: who has waited
    longer gets a 503, so that those behind are served in time."""
    queue_interval: float = 2.0
    """Longest wait for a turn otherwise. Twenty times the target, as Facebook had them."""
    max_streams: Annotated[int, Field(ge=1)] = 1000
    """Answers that one process streams at once; more get a 503."""
    calls_per_caller: Annotated[int, Field(ge=1)] = 500
    """Model calls of one caller in flight at once in one API process, not in all together; more get
    a 429. Half of a process, so that nobody fills it alone."""
    max_body_bytes: int = 10 * MIB
    """Largest request body, but for uploads."""
    max_file_bytes: int = 200 * MIB
    """Largest upload. 200 MiB is OpenAI's limit for batch files."""
    max_batch_lines: int = 50_000
    """Most lines of one batch. 50,000 is OpenAI's limit."""
    requests_per_minute: int = 600
    """Model calls a minute of one caller, unless its key says otherwise. 0: no limit."""
    progress_streams: int = 100
    """Callers of one API process that may watch a batch live; more get a 503. Each one costs a
    read of the database a second."""
    idempotency_seconds: float = 86_400.0
    """How long the answer to a request with an `Idempotency-Key` is remembered."""
    feature_flags: frozenset[str] = frozenset({"triage"})
    """Features that are on for every caller, as a JSON list; a key can have more of its own."""
    key_cache_seconds: float = 5.0
    """How long an API key is remembered, so also how long a revoked one may live on.
    Without the memory each request costs one more database read."""
    cache_entries: int = 10_000
    """Most entries of the in-memory cache."""

    # Outgoing HTTP
    http_connections: int = 1000
    """Most open connections to model servers."""
    http_connect_timeout: float = 5.0
    """Longest wait for a connection to a model server."""
    http_read_timeout: float = 120.0
    """Longest silence of a model server that is answering."""

    # Work off the event loop
    offload_threads: int = 16
    """Blocking calls at once in threads of this process; more wait."""
    offload_processes: int = 2
    """Processor-bound calls at once in helper processes; more wait."""
    background_tasks: int = 1000
    """Small tasks after the answer has left, at once; more are refused."""
    open_timeout: float = 60.0
    """Longest wait for any one resource at the start. A local model may take a while to load."""
    close_timeout: float = 10.0
    """Longest wait for any one resource at the end."""

    # Metrics
    metrics_token: SecretStr | None = None
    """Who sends this as a bearer token may read `GET /metrics`. Unset: whoever reaches the port.
    To measure a request costs 3 µs, to read all takes the event loop 1 ms."""
    worker_metrics_port: int = 0
    """Port on `host` where a worker answers `GET /metrics`. 0: none."""

    stall_seconds: Annotated[float | None, Field(ge=0)] = None
    """From which on it counts as a stall that the event loop stands; the line that kept it is told.
    Unset: 0.1 in development, 0.25 in production. 0: nobody watches. To watch takes an idle process
    0.2 % of a processor."""

    # Jobs
    lease_seconds: float = 15.0
    """A worker that is silent for this long has lost its items to the others."""
    sweep_seconds: float = 1.0
    """How often each worker looks for work by itself, and for what dead workers left behind."""
    batch_lanes: int = 2
    """Workers that may work on one batch at once."""
    lane_seconds: float = 5.0
    """How long a worker stays on a lane while callers wait who come before. It then lets what is in
    flight end, and on average half of the lane is empty meanwhile: with calls of a second, turns of
    5 s cost a tenth of it, turns of 1 s a third."""
    lanes_per_caller: Annotated[int, Field(ge=1)] = 8
    """Lanes that one caller has at once, over all workers. Fewer than the 10 of one worker, so that
    others need not wait for the end of a turn; 8 lanes of 32 items fill 50 model slots five times.
    Workers that claim in the same moment may exceed it."""
    batch_chunk: int = 32
    """Items that one lane has in flight: what a killed worker repeats at most. More than half of 50
    model slots, since a few are always being recorded while the others are at the model."""
    batch_attempts: int = 3
    """Tries of an item that fails by itself."""
    batch_crashes: Annotated[int, Field(ge=2)] = 5
    """Times that an item or job may take its worker down before it is given up. An item has its
    last chance alone, so that none is given up for another's crash."""
    worker_batches: int = 10
    """Lanes of batches that one worker process works on at once."""
    worker_jobs: int = 10
    """Other jobs that one worker process runs at once, beside the batches."""
    scheduled_jobs: int = 2
    """Scheduled jobs beside all those, so that a full queue does not hold them up."""
    keep_days: float = 30.0
    """Age at which ended batches and jobs, their files and webhooks are deleted, and input files
    that no batch needs. 0: never. 30 days is OpenAI's limit for batch files."""
    webhook_timeout: float = 15.0
    """Longest wait for the receiver of a webhook."""
    webhook_private_addresses: bool = False
    """Whether webhooks may go into this network, where callers could reach what they must not."""
    webhook_waits: tuple[float, ...] = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0)
    """Waits between the tries of a webhook, as a JSON list; after the last it is dead. These are
    Svix's: eight tries in 28 hours, so that a receiver may be down for a day."""
    webhook_rotation: float = 86_400.0
    """How long a webhook's old secret signs beside the new one, where that is asked for. OpenAI's
    name for it says 24 hours (`keep_old_secret_active_for_24_hours`), so this is a day."""
    webhooks_per_caller: int = 10
    """Webhooks that one caller may have."""
    webhooks_in_flight: int = 4
    """Tries at once for one caller, so that a receiver that hangs holds only its owner up."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put `settings.toml`, which is committed, below `.env` and the environment."""
        toml_settings = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, dotenv_settings, toml_settings

    @property
    def production(self) -> bool:
        """Whether gaps and dangerous values stop the start."""
        return self.app_env == "production"

    @property
    def readiness_seconds(self) -> float:
        """`readiness_grace`, or what suits where it is unset."""
        if self.readiness_grace is not None:
            return self.readiness_grace
        return 5.0 if self.production else 0.0

    @property
    def stall_threshold(self) -> float:
        """`stall_seconds`, or what suits where it is unset."""
        if self.stall_seconds is not None:
            return self.stall_seconds
        return 0.25 if self.production else 0.1

    @property
    def stop_seconds(self) -> float:
        """Longest that a process takes to stop, if all goes well: have it killed later only."""
        return self.readiness_seconds + self.shutdown_grace + LAST_WORDS + self.close_timeout

    @property
    def sql_url(self) -> str:
        """`database_url`, or the SQLite file of development."""
        return self.database_url or f"sqlite:///{self.data_dir / 'app.db'}"

    @property
    def broker_url(self) -> str:
        """`redis_url`, or the socket of the server that `app dev` starts."""
        return self.redis_url or f"unix://{quote(str(self.data_dir.absolute() / 'valkey.sock'))}"

    def dangers(self) -> Iterator[str]:
        """Yield a sentence for each value that production must not start with."""
        if not self.production:
            return
        if self.database_url is None:
            yield "DATABASE_URL is not set: production needs a lasting database."
        if self.redis_url in (None, NO_REDIS):
            state = "none" if self.redis_url else "not set"
            yield f"REDIS_URL is {state}: production needs a Redis that all processes share."
        if self.model_provider == "simulated":
            yield "MODEL_PROVIDER is simulated: its answers are made up; use openai or local."
        if self._lacks_key:
            yield f"OPENAI_API_KEY is not set: {OPENAI_URL} answers nobody without one."

    @property
    def _lacks_key(self) -> bool:
        asks_openai = self.model_provider == "openai" and self.openai_base_url == OPENAI_URL
        return asks_openai and self.openai_api_key is None
