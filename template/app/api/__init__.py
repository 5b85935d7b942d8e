"""ZONE 1, the request path: accept, answer or hand over."""

from importlib import import_module
from importlib.util import find_spec

from fastapi import APIRouter

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

OPTIONS = ("vector_stores", "vector_store_files", "vector_store_search", "fine_tuning")
"""Modules that come with an option of the project."""


def option_routers() -> tuple[APIRouter, ...]:
    """Return the routers of the options that this project has."""
    names = [f"app.api.{name}" for name in OPTIONS]
    return tuple(import_module(name).router for name in names if find_spec(name))
