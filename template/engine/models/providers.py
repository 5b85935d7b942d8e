"""Opens the provider that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import Any

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
    provider = _provider(settings.model_provider)
    async with provider.open_provider(settings, session, tokenizer) as model:
        yield model


def _provider(name: str) -> Any:  # noqa: ANN401 -- a module with `open_provider`
    module = PROVIDERS.get(name, name)
    known = f"{', '.join(PROVIDERS)}, or a module as app.features.echo.provider"
    unknown = Misconfigured([f"MODEL_PROVIDER is {name}: it must be one of {known}."])
    if "." not in module or not all(map(str.isidentifier, module.split("."))):
        raise unknown
    try:
        provider = import_module(module)
    except ModuleNotFoundError as error:
        if f"{module}.".startswith(f"{error.name}."):
            raise unknown from error
        problem = f"needs {error.name}, which is not installed: try `uv sync --all-groups`."
        raise Misconfigured([f"MODEL_PROVIDER is {name}: it {problem}"]) from error
    if not hasattr(provider, "open_provider"):
        raise unknown
    return provider
