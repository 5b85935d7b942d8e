"""The first minute of a new user: a fresh clone, a machine without uv, one command."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from demo.service import environment
from tests.conftest import git

NEEDED = (
    *("cat", "cp", "dirname", "env", "git", "ln", "ls", "make", "mkdir", "mv"),
    *("python3", "rm", "sed", "sh", "test", "touch", "uname"),
)


@pytest.fixture
def bare_path(tmp_path: Path) -> str:
    """A PATH with Python, git, make and little else: above all no uv."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        program = shutil.which(name)
        assert program, f"{name} is missing"
        if name == "python3":
            program = environment()["UV_PYTHON"]
        (folder / name).symlink_to(program)
    return str(folder)


@pytest.mark.timeout(300)
def test_the_demo_works_in_a_fresh_clone_without_uv(
    template: Path, tmp_path: Path, bare_path: str
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(template), str(clone))
    printed = make("demo", clone, bare_path)
    for sign in ("A question", "token by token", "20/20", "Keep it running"):
        assert sign in printed
    assert git(clone, "status", "--porcelain") == ""
    # The rendered project's Makefile does without uv too.
    assert "Database: already at" in make("migrate", clone / ".work" / "demo", bare_path)


def test_a_machine_without_python_is_told_what_to_install(
    template: Path, tmp_path: Path, bare_path: str
) -> None:
    (Path(bare_path) / "python3").unlink()
    (Path(bare_path) / "python3").symlink_to(shutil.which("false") or os.devnull)
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", str(template), str(clone))
    done = subprocess.run(
        ["make", "demo"],
        cwd=clone,
        env={"PATH": bare_path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "This needs Python 3.11 or newer" in done.stderr


def make(target: str, folder: Path, path: str) -> str:
    """Make the target on a machine that has only what is on the path; return what it printed."""
    variables = environment(PATH=path)
    del variables["UV_PYTHON"]
    done = subprocess.run(
        ["make", target], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
