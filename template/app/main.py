"""The API process. Importing this starts nothing: `create_app` builds, the lifespan opens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from app.api import ROUTERS, option_routers
from app.api.docs import add_docs
from app.api.errors import add_error_handlers
from app.api.openapi import OTHERWISE, openapi
from app.features.endpoints import ROUTERS as FEATURES
from app.middleware import add_middleware
from app.resources.lifespan import Resources, open_resources
from app.settings import Settings
from engine.settings.loading import load_settings
from engine.watch.telemetry import configure_logging


class State(TypedDict):
    """State that the lifespan hands to every request."""

    resources: Resources


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the app with all its endpoints. Raise `Misconfigured` for bad settings."""
    configured = settings or load_settings(Settings)

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
    add_middleware(app, configured)
    add_error_handlers(app)
    for router in (*ROUTERS, *option_routers(), *FEATURES):
        app.include_router(router)
    list(iter_route_contexts(app.routes))  # or the first request makes them: the loop stands 0.1 s
    if configured.docs:
        add_docs(app, openapi(app, configured), configured)
    return app
