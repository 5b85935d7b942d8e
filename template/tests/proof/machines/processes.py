"""Processes of the system: their tree, their output, their end."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Sequence

LIMIT = 120.0
"""Seconds for whatever `app dev` does. Until it is ready, three processes import all of the app:
14 s of the processor's time, and 66 s of the clock's at a load of 11 on 2 cores."""


async def eventually(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < deadline, f"not within {LIMIT:.0f} s"
        await asyncio.sleep(0.1)  # `ps`, which most ask, takes the processor 0.02 s


def launch(command: Sequence[str]) -> subprocess.Popen[str]:
    """Start a command whose output can be read and whose errors do not matter."""
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def output(command: Sequence[str]) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and that nobody fetched does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = output(["ps", "-o", "stat=", "-p", str(pid)]).strip()
    return bool(state) and not state.startswith("Z")


def tree(root: int) -> dict[int, str]:
    """Return the commands of a process and of all that came from it, by process id."""
    lines = output(["ps", "-A", "-ww", "-o", "pid=,ppid=,command="]).splitlines()
    rows = [line.split(maxsplit=2) for line in lines]
    found = {root: ""}
    while more := {
        int(pid): command
        for pid, parent, command in rows
        if int(parent) in found and int(pid) not in found
    }:
        found |= more
    return found
