"""Middleware of every request: plain ASGI, which costs 2 µs a layer and sees the client go.

| from the outside in | does |
| --- | --- |
| `CORSMiddleware` | lets browsers of other origins in, where `cors_origins` names some |
| `Requests` | request log: takes a proxy's prefix away, names each request, logs and measures it |
| `LifeCycle` | drain, deadline, admission queue; a failed start in one sentence |
| `BodyLimit` | cuts bodies off that are too large |
"""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app.middleware.body_limit import BodyLimit
from app.middleware.life_cycle import LifeCycle
from app.middleware.requests import Requests
from app.settings import Settings

EXPOSED = (
    *("x-request-id", "retry-after", "retry-after-ms", "x-should-retry", "location"),
    *(f"x-ratelimit-{each}-requests" for each in ("limit", "remaining", "reset")),
    *(f"x-ratelimit-{each}-tokens" for each in ("limit", "remaining", "reset")),
)
"""Headers of an answer that code of another origin may read."""

MULTIPART_BYTES = 64 * 1024
"""Room for the multipart form around an uploaded file."""


def add_middleware(app: FastAPI, configured: Settings) -> None:
    """Add all layers. FastAPI runs the last one first, so this goes from the inside out."""
    app.add_middleware(
        BodyLimit,
        limit=configured.max_body_bytes,
        limits={"/v1/files": configured.max_file_bytes + MULTIPART_BYTES},
    )
    app.add_middleware(LifeCycle, longest=configured.request_timeout)
    app.add_middleware(Requests, prefix=configured.root_path)
    if configured.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=configured.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
