"""The service itself and where it keeps things."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.settings.urls import DatabaseUrl, RedisUrl
from engine.settings.values import (
    Count,
    Port,
    Positive,
    Seconds,
)


class ServiceSettings(BaseModel):
    """The service itself and where it keeps things."""

    model_config = ConfigDict(use_attribute_docstrings=True)

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
    docs: bool = True
    """Serve `/`, `/docs` and `/openapi.json`, which need no key. Off: nothing is there."""
    host: str = "127.0.0.1"
    """Address that the API listens on. Containers need 0.0.0.0."""
    port: Port = 8000
    """Port that the API listens on."""
    root_path: Annotated[str, Field(pattern=r"^(/[^/?#]+)*$")] = ""
    """Prefix of our URLs in front of a proxy, such as `/llm`, whether or not it strips it."""
    cors_origins: tuple[Annotated[str, Field(pattern=r"^(\*|https?://[^/]+)$")], ...] = ()
    """Origins of web pages that may ask, as a JSON list: `["https://app.example.com"]`, or `["*"]`
    for all. Unset: none."""
    readiness_grace: Seconds | None = None
    """How long a stopping API takes requests while `/ready` says 503, so that load balancers turn
    away first. Unset: 5 in production, 0 in development, where no load balancer asks."""
    shutdown_grace: Seconds = 30.0
    """How long a stopping process then waits for work in flight before it cuts it off."""

    # Storage
    data_dir: Path = Path(".data")
    """Where development keeps its database and its Redis."""
    database_url: DatabaseUrl | None = None
    """`postgresql://…` with libpq's parameters, as clouds give it, or `sqlite:///…`. PgBouncer
    is noticed. Unset: SQLite in `data_dir`, in development only."""
    database_connections: Count = 5
    """Connections per process to PostgreSQL, or reading threads on SQLite."""
    database_timeout: Positive = 10.0
    """Longest time for one transaction, and before it for its turn. Less than `lease_seconds`, so
    that a worker has another try before its lease is over."""
    redis_url: RedisUrl | None = None
    """`redis://…`, `rediss://…` or `unix://…`. Unset: `app dev` starts its own server.
    `none`: do without one, in development only. Nothing is lost, but work starts later."""
