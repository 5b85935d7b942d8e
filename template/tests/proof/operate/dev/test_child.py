import sys
from functools import partial
from pathlib import Path

import pytest

from engine.operate.dev.child import LONGEST_LINE, Child, running
from tests.proof.machines.processes import alive, eventually

pytestmark = pytest.mark.anyio

NOTE_PID = "import os, pathlib, sys; open(sys.argv[1], 'a').write(f'{os.getpid()}\\n'); "
SLEEP = "import time; time.sleep(600)"


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", code, *map(str, arguments)]


def pids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()] if file.exists() else []


async def test_each_line_of_output_carries_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    seen = ""

    def printed() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return "last" in seen

    async with running(Child("api", python(f"print('first'); print('last', end=''); {SLEEP}"))):
        pass
    async with running(Child("api", python("print('first'); print('last', end='')"))):
        await eventually(printed)
    assert "   api | first\n   api | last\n" in seen


async def test_a_line_without_end_is_printed_in_pieces(capsys: pytest.CaptureFixture[str]) -> None:
    seen = ""

    def printed() -> bool:
        nonlocal seen
        seen += capsys.readouterr().out
        return seen.count("x") > LONGEST_LINE

    async with running(Child("api", python(f"print('x' * {3 * LONGEST_LINE}, end=''); {SLEEP}"))):
        await eventually(printed)


async def test_a_child_that_ends_is_started_again(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with running(Child("api", python(NOTE_PID, file))):
        await eventually(lambda: len(pids(file)) >= 3)


async def test_a_child_that_fails_is_started_when_code_changes(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    child = Child("api", python(NOTE_PID + "sys.exit(1)", file))
    async with running(child):
        for runs in range(1, 6):  # five waits of their own would take 0.5 + 1 + 2 + 4 + 8 s
            await eventually(partial(_has_run, file, runs))
            child.restart(1)


async def test_a_restart_replaces_the_process(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    child = Child("api", python(NOTE_PID + SLEEP, file))
    async with running(child):
        await eventually(lambda: len(pids(file)) == 1)
        child.restart(10)
        await eventually(lambda: len(pids(file)) == 2)
        assert not alive(pids(file)[0])


async def test_stopping_lets_a_child_finish(tmp_path: Path) -> None:
    ready, done = tmp_path / "ready", tmp_path / "done"
    code = (
        "import pathlib, signal, sys, time; "
        "signal.signal(15, lambda *_: (pathlib.Path(sys.argv[2]).touch(), sys.exit())); "
        f"pathlib.Path(sys.argv[1]).touch(); {SLEEP}"
    )
    async with running(Child("api", python(code, ready, done))):
        await eventually(ready.exists)
    assert done.exists()


async def test_a_child_that_does_not_finish_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    code = f"import signal; signal.signal(15, signal.SIG_IGN); {NOTE_PID}{SLEEP}"
    async with running(Child("api", python(code, file), grace=0.1)):
        await eventually(lambda: pids(file))
    assert not alive(pids(file)[0])


async def test_processes_that_a_child_leaves_behind_end_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    grandchild = f"subprocess.Popen([sys.executable, '-c', {NOTE_PID + SLEEP!r}, sys.argv[1]])"
    async with running(
        Child("api", python(f"import subprocess, sys; {grandchild}; {SLEEP}", file))
    ):
        await eventually(lambda: pids(file))
    await eventually(lambda: not alive(pids(file)[0]))


def _has_run(file: Path, times: int) -> bool:
    return len(pids(file)) >= times
