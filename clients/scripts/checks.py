"""Checks of one client: each prints one line of JSON, which `clients.campaign` reads."""

import asyncio
import inspect
import json
import os
from collections.abc import Callable
from importlib.metadata import version

URL, KEY = os.environ["CLIENTS_URL"], os.environ["CLIENTS_KEY"]
LIMITED_KEY = os.environ["CLIENTS_LIMITED_KEY"]
"""A key with one call a minute."""
LOCAL_URL, LOCAL_KEY = os.environ["CLIENTS_LOCAL_URL"], os.environ["CLIENTS_LOCAL_KEY"]
"""A service with the local model, whose context is small."""

CHAT, EMBEDDINGS = "simulated-chat", "simulated-embeddings"
LOCAL_CHAT = "smollm2-135m-instruct"
MESSAGES = [{"role": "user", "content": "Hello"}]
TOO_LONG = "word " * 10_000
DIMENSIONS = 256
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tell the weather.", "parameters": CITY},
}

_checks: list[Callable[[], object]] = []


def check(function: Callable[[], object]) -> Callable[[], object]:
    """Make the function, which may be asynchronous, a check of its own name."""
    _checks.append(function)
    return function


def tell(name: str, failure: str | None = None) -> None:
    """Tell of a check, and why it failed."""
    words = name.replace("_", " ").replace("::", ": ")
    print(json.dumps({"check": words, "failure": failure}), flush=True)


def run(package: str) -> None:
    """Tell the version of the client, then run each check."""
    print(json.dumps({"version": version(package)}), flush=True)
    for function in _checks:
        tell(function.__name__, _failure(function))


def raised(kind: type[Exception], call: Callable[[], object]) -> Exception:
    """Return the error of this kind that the call raises."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


def _failure(function: Callable[[], object]) -> str | None:
    try:
        result = function()
        if inspect.iscoroutine(result):
            asyncio.run(result)
    except Exception as error:  # noqa: BLE001 -- it is the result
        return f"{type(error).__name__}: {error}"
    return None
