"""Each ban is in force where handlers are written, says what to use instead, and has its door.

A call that is right in a thread is not banned: `doctor/test_blocking_calls.py` has its guard.
"""

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from engine.models.upstreams import Upstreams
from engine.resources import Resources
from engine.slots.redis_semaphore import Priority
from tests.service import PROJECT

RUFF = Path(sys.executable).with_name("ruff")
CONFIG = tomllib.loads((PROJECT / "pyproject.toml").read_text())
BANS = CONFIG["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]


def source(banned: str) -> str:
    """Return a line that imports it."""
    module, _, name = banned.rpartition(".")
    return f"from {module} import {name}\n" if module else f"import {name}\n"


def found(lines: str, file: str, rule: str = "TID251") -> list[str]:
    """Return what ruff says of bans in these lines, were they in this file."""
    options = ["check", "--select", rule, "--output-format", "json", "--no-cache"]
    done = subprocess.run(
        [RUFF, *options, "--stdin-filename", file, "-"],
        cwd=PROJECT,
        input=lines,
        capture_output=True,
        text=True,
        check=False,
    )
    return [each["message"] for each in json.loads(done.stdout)]


def test_each_is_found_in_a_handler_with_its_own_message() -> None:
    said = found("".join(map(source, BANS)), "app/api/twin.py")
    for banned, told in BANS.items():
        assert f"`{banned}` is banned: {told['msg']}" in said


@pytest.mark.parametrize("banned", BANS)
def test_each_says_what_to_use_instead(banned: str) -> None:
    assert "`" in BANS[banned]["msg"]


@pytest.mark.parametrize(
    ("banned", "door"),
    [
        ("anyio.to_thread", "engine/process/offload.py"),
        ("aiohttp.ClientSession", "engine/process/address_guard.py"),
        ("httpx.AsyncClient", "engine/process/http.py"),
        ("threading.Thread", "engine/watch/watchdog.py"),
        ("asyncio.run", "engine/operate/cli/database.py"),
    ],
)
def test_its_door_is_open_and_the_wall_beside_it_is_not(banned: str, door: str) -> None:
    assert found(source(banned), door) == []
    assert found(source(banned), "engine/process/cache.py")


@pytest.mark.parametrize("module", ["requests", "sqlite3", "subprocess", "threading", "time"])
def test_a_library_that_is_right_in_a_thread_may_be_imported(module: str) -> None:
    assert found(f"import {module}\n", "app/features/twin/endpoint.py") == []


def test_the_providers_are_private_to_the_model_of_a_caller() -> None:
    kind = Mapping[Priority, Upstreams]
    [name] = [field.name for field in fields(Resources) if field.type == kind]
    line = f"answer = shared.{name}.complete(request, caller_id)\n"
    said = found(line, "app/features/twin/endpoint.py", "SLF001")
    assert said == [f"Private member accessed: `{name}`"]
