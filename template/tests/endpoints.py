"""The endpoints that came with this project. Yours are for your own tests: none here fails them."""

from functools import cache

from fastapi.routing import iter_route_contexts

from app.api import OPTIONS
from app.main import create_app
from app.settings import Settings

OURS = (
    *("batches", "chat", "completions", "conversations", "embeddings", "files"),
    *("health", "jobs", "metrics", "models", "progress", "responses", "usage", "webhooks"),
)
"""Their modules in `app.api`."""


@cache
def endpoints(*, options: bool = True) -> list[tuple[str, str]]:
    """Return method and path of each, sorted; those of options only where they are wanted."""
    modules = {f"app.api.{name}" for name in (*OURS, *(OPTIONS if options else ()))}
    return sorted(
        (method, str(context.path))
        for context in iter_route_contexts(create_app(Settings()).routes)
        for method in context.methods or ()
        if getattr(context.endpoint, "__module__", None) in modules
    )
