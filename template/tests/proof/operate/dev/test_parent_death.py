import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.operate.dev.child import PARENT_DEATH
from tests.proof.machines.processes import alive, eventually, launch, output

pytestmark = pytest.mark.anyio

NATIVE = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
AS_ON_MACOS = f"import sys; sys.platform = 'darwin'; {NATIVE}"
PARENT = """
import os, subprocess, sys, time
tied = [sys.executable, "-c", *sys.argv[1:], str(os.getpid())]
child = subprocess.Popen([*tied, "sleep", "600"])
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("way", [NATIVE, AS_ON_MACOS])
async def test_a_child_ends_when_its_parent_is_killed(way: str) -> None:
    with launch([sys.executable, "-c", PARENT, way, str(PARENT_DEATH)]) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        await eventually(lambda: "sleep" in _command(child))
        parent.kill()
    await eventually(lambda: not alive(child))


def test_a_child_whose_parent_is_gone_does_not_start(tmp_path: Path) -> None:
    marker = tmp_path / "started"
    somebody_else = str(os.getppid())
    tied = [sys.executable, str(PARENT_DEATH), somebody_else, "touch", str(marker)]
    assert subprocess.run(tied, capture_output=True, check=False).returncode == 1
    assert not marker.exists()


def _command(pid: int) -> str:
    return output(["ps", "-o", "command=", "-p", str(pid)]).split(" ")[0]
