"""Finds what the modules beside this one offer, so that a new module needs no entry in a list."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from app import domain


def offered(name: str) -> Iterator[Any]:
    """Yield what each module of `app.domain` that defines `name` has under it."""
    for module in pkgutil.iter_modules(domain.__path__, f"{domain.__name__}."):
        if (found := getattr(import_module(module.name), name, None)) is not None:
            yield found
