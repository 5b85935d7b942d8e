"""A rendered project's own check finds what an update could not merge."""

import shutil
import subprocess
from pathlib import Path

import pytest

from demo.service import environment
from tests.conftest import Render


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Path:
    """A render to spoil; the other files make no difference here."""
    copy = tmp_path / "project"
    shutil.copytree(render({}), copy, ignore=shutil.ignore_patterns("app", "lab", "tests"))
    return copy


def found(project: Path) -> list[str]:
    """Return the lines that `make conflicts` printed before it failed; none if it passed."""
    done = subprocess.run(
        ["make", "conflicts"],
        cwd=project,
        env=environment(),  # without the flags of a make that runs these tests
        check=False,
        capture_output=True,
        text=True,
    )
    assert bool(done.returncode) == bool(done.stdout)
    return done.stdout.splitlines()


def test_a_fresh_project_has_no_conflict(render: Render) -> None:
    assert found(render({})) == []


@pytest.mark.parametrize("marker", ["<<<<<<< before updating", ">>>>>>> after updating"])
@pytest.mark.parametrize("path", ["README.md", ".github/workflows/ci.yml", "new.toml"])
def test_a_marker_is_found_with_its_line(project: Path, path: str, marker: str) -> None:
    with (project / path).open("a") as file:
        file.write(f"{marker}\n")
    line = (project / path).read_text().count("\n")
    assert found(project) == [f"./{path}:{line}:{marker}"]


def test_a_rejected_change_is_found(project: Path) -> None:
    (project / "docs" / "webhooks.md.rej").touch()
    assert found(project) == ["./docs/webhooks.md.rej"]


@pytest.mark.parametrize("folder", [".git", ".venv", ".data", ".uv"])
def test_what_is_not_the_projects_code_is_not_searched(project: Path, folder: str) -> None:
    (project / folder).mkdir()
    (project / folder / "file").write_text("<<<<<<< before updating\n")
    assert found(project) == []
