"""Opens the provider that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from engine.errors import Misconfigured
from engine.models.interface import Model
from engine.process.http import UpstreamSession
from engine.process.tokenizer import Tokenizer
from engine.settings import Settings

PROVIDERS = {
    "local": "engine.models.local",
    "openai": "engine.models.openai",
    "simulated": "engine.models.simulated",
}
"""The module of each name. It is imported when it is asked for: its packages may be missing."""


@asynccontextmanager
async def open_model(
    settings: Settings, session: UpstreamSession, tokenizer: Tokenizer
) -> AsyncIterator[Model]:
    """Yield the model of `settings.model_provider`: a name above, or a module of the app's own.

    Raise `Misconfigured` where there is none, or a package that it needs is missing.
    """
    name = settings.model_provider
    module = PROVIDERS.get(name, name)
    if name not in PROVIDERS and "." not in name:
        known = ", ".join(PROVIDERS)
        problem = f"it must be one of {known}, or a module as app.features.echo.provider."
        raise Misconfigured([f"MODEL_PROVIDER is {name}: {problem}"])
    try:
        provider = import_module(module)
    except ModuleNotFoundError as error:
        problem = f"needs {error.name}, which is not installed: try `uv sync --all-groups`."
        raise Misconfigured([f"MODEL_PROVIDER is {name}: it {problem}"]) from error
    async with provider.open_provider(settings, session, tokenizer) as model:
        yield model
