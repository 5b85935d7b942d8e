"""What a team does to its project fails no test that came with it: see `tests/moves.py`.

A check that must be told of a change says the one command to type; here it is typed.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from demo.service import Failed
from tests import moves
from tests.answers import ALL_OFF
from tests.conftest import Environment, Render, find_python
from tests.test_rendered_project import CHECKS, SUITE, TEMPLATE, in_environment

ANSWERS = {"extras": "[doctor, lab, benchmarks]", "model_provider": ALL_OFF["model_provider"]}
APP = ("python", "-m", "app.cli")
ALEMBIC = ("python", "-m", "alembic")
EXAMPLE = "tests/test_cli.py::TestSettings::test_the_example_file_is_the_generated_one"


@pytest.fixture(scope="session")
def variables(environment: Environment) -> dict[str, str]:
    return environment(find_python("3.13") or sys.executable)


class Moved(NamedTuple):
    """A project after all of these moves, and how its checks asked for a command."""

    project: Path
    of_routes: str
    of_settings: str


@pytest.fixture(scope="session")
def moved(checkout: Render, variables: dict[str, str]) -> Moved:
    """Make all moves, then type each command that a check asks for."""

    def typed(*command: str) -> str:
        return in_environment(project, variables, *command)

    def complaint(*command: str) -> str:
        with pytest.raises(Failed) as failed:
            typed(*command)
        return str(failed.value)

    project = checkout(ANSWERS)
    moves.delete_what_is_not_needed(project)
    moves.add_what_is_ours(project)
    typed(*ALEMBIC, "upgrade", "heads")
    typed(*ALEMBIC, "revision", "--autogenerate", "-m", "notes", "--rev-id", "9001")
    typed(*APP, "new", "feature", "letter_count")
    typed(*APP, "new", "job", "summary")
    typed(*APP, "new", "agent", "letter_desk")
    typed(*APP, "new", "table", "places")
    moves.change_settings(project)
    moves.rename_locals(project)
    moves.widen_lines(project)
    typed("ruff", "format", "--quiet")
    of_routes = complaint(*APP, "doctor", "--check-routes")
    typed(*APP, "doctor", "--write-routes")
    of_settings = complaint("python", "-m", "pytest", "-q", EXAMPLE)
    (project / ".env.example").write_text(typed(*APP, "settings", "--env-example"))
    return Moved(project, of_routes, of_settings)


def test_new_routes_are_told_with_the_command_that_accepts_them(moved: Moved) -> None:
    assert "+GET /notes" in moved.of_routes
    assert "`app doctor --write-routes` accepts it" in moved.of_routes


def test_a_new_setting_is_told_with_the_command_that_writes_the_example(moved: Moved) -> None:
    assert "settings --env-example > .env.example" in moved.of_settings


@pytest.mark.parametrize("check", [*CHECKS, "mypy .", "lint-imports"])
def test_a_moved_project_passes_its_checks(
    moved: Moved, variables: dict[str, str], check: str
) -> None:
    in_environment(moved.project, variables, *check.split())


def test_an_endpoint_uses_a_resource_of_the_teams_own(
    moved: Moved, variables: dict[str, str]
) -> None:
    (moved.project / "tests/features/test_words.py").write_text(moves.TEST_OF_THE_RESOURCE)
    test = "python -m pytest -q tests/features/test_words.py"
    assert "1 passed" in in_environment(moved.project, variables, *test.split())


@pytest.mark.installed
@pytest.mark.timeout(1200)
def test_a_moved_project_passes_the_tests_that_came_with_it(
    moved: Moved, variables: dict[str, str]
) -> None:
    """On what is embedded and on servers of the system."""
    output = in_environment(moved.project, variables, *SUITE, "--servers", "all")
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output[-2000:]


@pytest.mark.installed
def test_the_example_passes_its_tests_on_servers_of_the_system(variables: dict[str, str]) -> None:
    """They are not among those above, where the team has deleted it."""
    test = [
        "python",
        "-m",
        "pytest",
        "-q",
        "tests/features/test_triage.py",
        "--servers",
        "installed",
    ]
    output = in_environment(TEMPLATE, variables, *test)
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output[-2000:]
