"""Middleware of every request: plain ASGI, which costs 2 µs a layer and sees the client go.

| from the outside in | does |
| --- | --- |
| `Startup` | tells in one sentence why the API does not start |
| `CORSMiddleware` | lets browsers of other origins in, where `cors_origins` names some |
| `Paths` | takes the prefix away under which a proxy serves the app |
| `Requests` | names each request, logs it, measures it |
| `Draining` | counts requests in flight, so that a stop waits for them |
| `Deadlines` | ends a request when its time is over |
| `Admission` | admission queue: sheds load beyond what can be answered in time |
| `BodyLimit` | cuts bodies off that are too large |
"""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from app.middleware.admission import Admission
from app.middleware.body_limit import BodyLimit
from app.middleware.deadlines import Deadlines
from app.middleware.draining import Draining
from app.middleware.paths import Paths
from app.middleware.requests import Requests
from app.middleware.startup import Startup
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
    app.add_middleware(Admission)
    app.add_middleware(Deadlines, longest=configured.request_timeout)
    app.add_middleware(Draining)
    app.add_middleware(Requests)
    app.add_middleware(Paths, prefix=configured.root_path)
    if configured.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=configured.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED,
        )
    app.add_middleware(Startup)
