"""Settings: each one's name, default and effect, in one place.

Values come, strongest first, from the environment, `.env`, `settings.toml` and the defaults below.
`app settings` shows each value and where it came from; `.env.example` is made from this class.
"""

import os
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from engine.settings.jobs import JobSettings
from engine.settings.limits import MIB, LimitSettings
from engine.settings.model import OPENAI_URL, Fallback, ModelSettings
from engine.settings.service import ServiceSettings
from engine.settings.urls import NO_REDIS, Discreet
from engine.settings.values import without_quotes

__all__ = [
    "MIB",
    "NO_REDIS",
    "OPENAI_URL",
    "OPTIONS",
    "SETTINGS_FILES",
    "Fallback",
    "Settings",
    "reads_files",
]

SETTINGS_FILES = "SETTINGS_FILES"
"""Environment variable: `none` leaves `.env` and `settings.toml` unread, as the tests do."""


LAST_WORDS = 1.0
"""Seconds that requests which are cut off have to say so, before uvicorn cancels them."""


OPTIONS = ("documents", "fine_tuning")
"""Parts of the engine that a project may lack; the settings of each are a module beside this."""


def _option_settings() -> type[BaseModel]:
    modules = [f"{__name__}.{name}" for name in OPTIONS]
    found = tuple(import_module(name).OptionSettings for name in modules if find_spec(name))
    return type("OptionSettings", (*found, BaseModel), {"__module__": __name__})


def reads_files() -> bool:
    """Return whether `.env` and `settings.toml` count."""
    return os.environ.get(SETTINGS_FILES) != "none"


class Settings(
    Discreet,
    _option_settings(),  # type: ignore[misc] # which options there are is known at run time
    JobSettings,
    LimitSettings,
    ModelSettings,
    ServiceSettings,
    BaseSettings,
):
    """The settings of both processes. Times are in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        toml_file="settings.toml",
        use_attribute_docstrings=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_what_copying_leaves(cls, values: dict[str, Any]) -> Any:  # noqa: ANN401
        return without_quotes(values)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put `settings.toml`, which is committed, below `.env` and the environment."""
        if not reads_files():
            return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, None)
        toml_settings = TomlConfigSettingsSource(settings_cls)
        return init_settings, env_settings, dotenv_settings, toml_settings

    @property
    def production(self) -> bool:
        """Whether gaps and dangerous values stop the start."""
        return self.app_env == "production"

    @property
    def readiness_seconds(self) -> float:
        """`readiness_grace`, or the default of `app_env` where it is unset."""
        if self.readiness_grace is not None:
            return self.readiness_grace
        return 5.0 if self.production else 0.0

    @property
    def stall_threshold(self) -> float:
        """`stall_seconds`, or the default of `app_env` where it is unset."""
        if self.stall_seconds is not None:
            return self.stall_seconds
        return 0.25 if self.production else 0.1

    @property
    def stop_seconds(self) -> float:
        """Longest that a process takes to stop, if all goes well: have it killed later only."""
        return self.readiness_seconds + self.shutdown_grace + LAST_WORDS + self.close_timeout

    @property
    def sql_url(self) -> str:
        """`database_url`, or the SQLite file of development."""
        return self.database_url or f"sqlite:///{self.data_dir / 'app.db'}"

    @property
    def broker_url(self) -> str:
        """`redis_url`, or the socket of the server that `app dev` starts."""
        return self.redis_url or f"unix://{quote(str(self.data_dir.absolute() / 'valkey.sock'))}"

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each value that another one rules out."""
        for less, more in (
            ("queue_target", "queue_interval"),
            ("model_slot_target", "model_slot_wait"),
        ):
            if getattr(self, less) > getattr(self, more):
                yield f"{less.upper()} is longer than {more.upper()}: it must be shorter."
        if self.simulated_error_rate + self.simulated_rate_limit_rate > 1:
            yield "SIMULATED_ERROR_RATE and SIMULATED_RATE_LIMIT_RATE are more than 1 together."

    def dangers(self) -> Iterator[str]:
        """Yield a sentence for each value that production must not start with."""
        if not self.production:
            return
        if self.database_url is None:
            yield "DATABASE_URL is not set: production needs a lasting database."
        if self.redis_url in (None, NO_REDIS):
            state = "none" if self.redis_url else "not set"
            yield f"REDIS_URL is {state}: production needs a Redis that all processes share."
        if self.model_provider == "simulated":
            yield "MODEL_PROVIDER is simulated: its answers are made up; use openai or local."
        if self._lacks_key:
            yield f"OPENAI_API_KEY is not set: {OPENAI_URL} refuses calls without one."

    @property
    def _lacks_key(self) -> bool:
        asks_openai = self.model_provider == "openai" and self.openai_base_url == OPENAI_URL
        return asks_openai and self.openai_api_key is None
