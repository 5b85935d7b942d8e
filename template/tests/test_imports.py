"""Importing a process's module starts nothing: the lifespan opens and closes all that runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import PROJECT

CHECK = """
import os, sys, threading
from importlib import import_module

def descriptors():
    for number in range(256):
        try:
            os.fstat(number)
        except OSError:
            continue
        yield number

def children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True

before = set(descriptors())
import_module(sys.argv[1])
if threading.active_count() > 1:
    print("a thread")
if set(descriptors()) - before:
    print("something is open")
if children():
    print("a child process")
for heavy in ("xllamacpp", "bpe_openai", "mcp"):
    if heavy in sys.modules:
        print(heavy)
sys.stdout.flush()
os._exit(0)  # does not wait for what was started
"""

TWINS = [
    ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", "a thread"),
    ("kept = open(__file__)", "something is open"),
    ("import socket; kept = socket.socket()", "something is open"),
    ("import asyncio; kept = asyncio.new_event_loop()", "something is open"),
    ("import os; os.fork() or os._exit(0)", "a child process"),
    ("import sys, types; sys.modules['bpe_openai'] = types.ModuleType('x')", "bpe_openai"),
    ("import sys, types; sys.modules['xllamacpp'] = types.ModuleType('x')", "xllamacpp"),
]


def started_by(module: str, *folders: Path) -> list[str]:
    """Return what a fresh interpreter finds running after it imported `module`."""
    path = os.pathsep.join(map(str, [PROJECT, *folders]))
    result = subprocess.run(
        [sys.executable, "-c", CHECK, module],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize("module", ["app.main", "app.worker"])
def test_an_import_starts_nothing(module: str) -> None:
    assert started_by(module) == []


@pytest.mark.parametrize(("source", "finding"), TWINS)
def test_a_module_that_starts_something_is_found_out(
    source: str, finding: str, tmp_path: Path
) -> None:
    (tmp_path / "twin.py").write_text(source)
    assert started_by("twin", tmp_path) == [finding]
