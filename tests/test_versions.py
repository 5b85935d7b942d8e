"""The lowest libraries that a project allows are enough for it, and so is each Python between."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from demo.service import run
from tests.conftest import NOT_RUN, Render, find_python
from tests.test_rendered_project import in_environment

# They import all of the app, and start it with a worker.
QUICK = ["tests/test_imports.py", "tests/test_settings.py", "tests/test_triage.py"]


# On newer ones the lowest numpy and others have no wheels, and would need a compiler.
@pytest.mark.parametrize(
    ("version", "resolution"), [("3.11", "lowest-direct"), ("3.12", "highest")]
)
def test_a_render_runs_on_it(
    request: pytest.FixtureRequest, render: Render, tmp_path: Path, version: str, resolution: str
) -> None:
    python = find_python(version)
    if python is None:
        request.config.stash.setdefault(NOT_RUN, []).append(f"{request.node.name}: no {version}")
    project = tmp_path / "project"
    shutil.copytree(render({}), project)
    variables = {"UV_PROJECT_ENVIRONMENT": str(tmp_path / "venv")}
    command = ["uv", "sync", "--quiet", "--no-install-project", "--resolution", resolution]
    run(command, project, UV_PYTHON=python or sys.executable, **variables)
    tests = ["python", "-m", "pytest", "-q", *QUICK, "-k", "not postgresql"]
    output = in_environment(project, variables, *tests)
    assert re.search(r"^\d+ passed", output, re.MULTILINE)
