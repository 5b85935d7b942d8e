"""Settings of the options that a project has: see `engine/options.py`."""

from importlib import import_module
from importlib.util import find_spec

from pydantic import BaseModel

NAMES = ("documents", "fine_tuning")


def option_settings() -> type[BaseModel]:
    """Return a class with the settings of every option whose module lies beside this one."""
    modules = [f"engine.settings.{name}" for name in NAMES]
    found = tuple(import_module(name).OptionSettings for name in modules if find_spec(name))
    return type("OptionSettings", (*found, BaseModel), {"__module__": __name__})
