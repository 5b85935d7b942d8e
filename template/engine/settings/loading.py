"""Reads the settings, and refuses settings that do not allow a start."""

import tomllib
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsError

from engine.errors import Misconfigured
from engine.settings import Settings

S = TypeVar("S", bound=Settings)


def load_settings(kind: type[S]) -> S:
    """Read the settings of this class; raise `Misconfigured` with every problem at once."""
    try:
        settings = kind()
    except ValidationError as error:
        problems = [_sentence(each) for each in error.errors()]
        raise Misconfigured(problems) from error
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured([f"settings.toml cannot be read: {error}."]) from error
    except UnicodeDecodeError as error:
        raise Misconfigured([f"settings.toml or .env is not UTF-8 text: {error}."]) from error
    except SettingsError as error:
        reason = f": {error.__cause__}" if error.__cause__ else ""
        raise Misconfigured([f"The settings cannot be read: {error}{reason}."]) from error
    if problems := [*settings.contradictions(), *settings.dangers()]:
        raise Misconfigured(problems)
    return settings


def _sentence(error: ErrorDetails) -> str:
    name = ".".join(map(str, error["loc"])).upper()
    return f"{name}: {error['msg'].removeprefix('Value error, ')}."
