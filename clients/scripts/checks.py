"""Checks of one client: each prints one line of JSON, which `clients.campaign` reads."""

import asyncio
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
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
_WEATHER = {"name": "weather", "description": "Tell the weather.", "parameters": CITY}
WEATHER = {"type": "function", "function": _WEATHER}
FLAT_WEATHER = {"type": "function", "strict": True, **_WEATHER}
"""The same tool as a response has it."""


@dataclass(frozen=True)
class Door:
    """A service to ask for responses. Models that reason have a name that says so."""

    name: str
    url: str
    key: str
    model: str


ANSWER, OUTPUT = "It is warm in Rome.", "Sun in Rome"
"""What an agent says, and what its tool `weather` has told it."""

DOORS = [Door(**door) for door in json.loads(os.environ["CLIENTS_DOORS"])]

_checks: list[tuple[str, Callable[[], object]]] = []


def check(function: Callable[[], object]) -> Callable[[], object]:
    """Make the function, which may be asynchronous, a check of its own name."""
    _checks.append((function.__name__, function))
    return function


def check_doors(function: Callable[[Door], object]) -> Callable[[Door], object]:
    """Make the function a check of each service whose model does not reason."""
    return _check_at(function, [door for door in DOORS if "thinking" not in door.name])


def check_thinking(function: Callable[[Door], object]) -> Callable[[Door], object]:
    """Make the function a check of each service whose model reasons."""
    return _check_at(function, [door for door in DOORS if "thinking" in door.name])


def check_agents(function: Callable[[Door], object]) -> Callable[[Door], object]:
    """Make the function a check of the agent of each service that has one."""
    return _check_at(function, _agents("reporter"))


def check_approvals(function: Callable[[Door], object]) -> Callable[[Door], object]:
    """Make the function a check of each agent whose tool needs an approval."""
    return _check_at(function, _agents("clerk"))


def _agents(name: str) -> list[Door]:
    return [replace(door, model=name) for door in DOORS if "thinking" in door.name]


def _check_at(function: Callable[[Door], object], doors: list[Door]) -> Callable[[Door], object]:
    _checks.extend((f"{door.name}: {function.__name__}", partial(function, door)) for door in doors)
    return function


def tell(name: str, failure: str | None = None) -> None:
    """Tell of a check, and why it failed."""
    words = name.replace("_", " ").replace("::", ": ")
    print(json.dumps({"check": words, "failure": failure}), flush=True)


def run(package: str) -> None:
    """Tell the version of the client, then run each check."""
    print(json.dumps({"version": version(package)}), flush=True)
    for name, function in _checks:
        tell(name, _failure(function))


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
