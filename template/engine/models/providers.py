"""Finds the provider that the settings name: a module beside this one with `open_provider`."""

import pkgutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from engine import models
from engine.errors import Misconfigured
from engine.models.interface import Model
from engine.process.http import Http
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

NOT_PROVIDERS = {
    "events",
    "interface",
    "objects",
    "providers",
    "reading",
    "refusals",
    "schema",
    "wire",
    "words",
}


def provider_names() -> list[str]:
    """Return the names that `MODEL_PROVIDER` may have."""
    modules = (module.name for module in pkgutil.iter_modules(models.__path__))
    return sorted(set(modules) - NOT_PROVIDERS)


@asynccontextmanager
async def open_model(settings: Settings, http: Http, tokenizer: Tokenizer) -> AsyncIterator[Model]:
    """Yield the model of `settings.model_provider`; raise `Misconfigured` where there is none.

    Only that provider is imported, so the packages of the others need not be installed.
    """
    name = settings.model_provider
    if name not in provider_names():
        known = ", ".join(provider_names())
        raise Misconfigured([f"MODEL_PROVIDER is {name}: it must be one of {known}."])
    try:
        provider = import_module(f"{models.__name__}.{name}")
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed: try `uv sync --all-groups`."
        raise Misconfigured([f"MODEL_PROVIDER is {name}: it {problem}"]) from error
    async with provider.open_provider(settings, http, tokenizer) as model:
        yield model
