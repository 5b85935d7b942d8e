"""The guards of this project, each run once over all twins: name -> what it says."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

from doctor.examination import examine
from tests.proof.doctor.twins import BROKEN, GOOD, Catch
from tests.service import PROJECT

TWINS = [*BROKEN, *GOOD]


@cache
def catches(guard: str) -> frozenset[Catch]:
    """Return all that a guard of `GUARDS` says of the twins."""
    return frozenset(GUARDS[guard]())


def ruff() -> list[Catch]:
    """Return what ruff says by the project's rules."""
    found = json.loads(run("ruff", "check", "--output-format", "json"))
    return [
        Catch("ruff", said["code"], Path(said["filename"]), said["location"]["row"])
        for said in found
    ]


def mypy() -> list[Catch]:
    """Return what mypy says by the project's settings."""
    said = re.compile(r"^(.+\.py):(\d+): error: .* \[([\w-]+)\]$", re.MULTILINE)
    return [
        Catch("mypy", code, PROJECT / path, int(line))
        for path, line, code in said.findall(run("mypy", "--no-pretty", "--no-error-summary"))
    ]


def doctor() -> list[Catch]:
    """Return what the doctor says of the app in each twin."""
    found = []
    for twin in TWINS:
        module = import_module(".".join(twin.relative_to(PROJECT).with_suffix("").parts))
        said = examine(module.app, twin, agents=getattr(module, "AGENTS", ())).findings
        found += [Catch("doctor", each.rule.id, each.path, each.line) for each in said]
    return found


GUARDS: dict[str, Callable[[], list[Catch]]] = {"doctor": doctor, "mypy": mypy, "ruff": ruff}


def run(tool: str, *options: str) -> str:
    """Return what a tool of this environment prints of the twins; its status may be a failure."""
    command = [str(Path(sys.executable).with_name(tool)), *options, *map(str, TWINS)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout
