"""The API process. Importing this starts nothing: `create_app` builds, the lifespan opens."""

import pkgutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TypedDict

from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware

from app import api
from app.middleware.admission import Admission
from app.middleware.body_limit import BodyLimit
from app.middleware.deadlines import Deadlines
from app.api.docs import add_docs
from app.middleware.draining import Draining
from app.api.errors import add_error_handlers
from app.api.openapi import OTHERWISE, openapi
from app.middleware.paths import Paths
from app.middleware.requests import Requests
from app.middleware.startup import Startup
from engine.settings.loading import load_settings
from engine.jobs.jobs import jobs
from engine.models.operations import operations
from app.resources.lifespan import Resources, open_resources
from engine.settings import Settings
from engine.watch.telemetry import configure_logging

BUSIEST = ("chat", "embeddings")
"""Modules of `app.api` whose routes come first: a request is compared with one route after the
other, and behind those of batches a chat took 8 % more calls of functions."""

EXPOSED = (
    *("x-request-id", "retry-after", "retry-after-ms", "x-should-retry", "location"),
    *(f"x-ratelimit-{each}-requests" for each in ("limit", "remaining", "reset")),
    *(f"x-ratelimit-{each}-tokens" for each in ("limit", "remaining", "reset")),
)
"""Headers of an answer that code of another origin may read."""

MULTIPART_BYTES = 64 * 1024
"""Room for what a form puts around an uploaded file."""


class State(TypedDict):
    """What the lifespan hands to every request."""

    resources: Resources


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app with every router of `app.api`. Raise `Misconfigured` for bad settings."""
    configured = settings or load_settings()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[State]:
        configure_logging(configured.log_level, as_json=configured.production)
        async with open_resources(configured) as resources:
            with resources.drain.on_signals():
                yield State(resources=resources)

    app = FastAPI(
        title=configured.service_name,
        description=configured.service_description,
        lifespan=lifespan,
        openapi_url=None,  # app.api.docs serves it
        responses=OTHERWISE,
    )
    _add_middleware(app, configured)
    add_error_handlers(app)
    for router in _routers():
        app.include_router(router)
    operations()  # imported before anything waits for the event loop
    jobs()
    if configured.docs:
        add_docs(app, openapi(app, configured), configured)
    return app


def _add_middleware(app: FastAPI, configured: Settings) -> None:
    """Add it from the inside out."""
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


def _routers() -> Iterator[APIRouter]:
    names = [module.name for module in pkgutil.iter_modules(api.__path__)]
    for name in sorted(names, key=lambda name: name not in BUSIEST):
        if router := getattr(import_module(f"{api.__name__}.{name}"), "router", None):
            yield router
