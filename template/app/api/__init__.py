"""ZONE 1, the request path: accept, answer or hand over."""

from app.api import (
    batches,
    chat,
    completions,
    conversations,
    embeddings,
    files,
    health,
    jobs,
    metrics,
    models,
    progress,
    responses,
    usage,
    webhooks,
)

ROUTERS = (
    chat.router,  # First: routes are tried in order, and behind the routes of batches a chat
    embeddings.router,  # made 8 % more function calls.
    responses.router,
    batches.router,
    completions.router,
    conversations.router,
    files.router,
    health.router,
    jobs.router,
    metrics.router,
    models.router,
    progress.router,
    usage.router,
    webhooks.router,
)
