"""The proof holds for the template as it lies: a file of its own, which takes longest of all."""

import re

import pytest

from tests.conftest import Environment
from tests.test_rendered_project import TEMPLATE, in_environment

# Three files at once on two processors: the proof waits for servers more than it computes.
IN_ORDER = ["--dist", "loadfile", "--no-loadscope-reorder"]
OPTIONS = ["tests/documents", "tests/fine_tuning"]
PROOF = ["python", "-m", "pytest", "-q", "-n", "3", *IN_ORDER, *OPTIONS, "tests/proof"]
PROOF += ["--servers", "all"]


def in_template(variables: dict[str, str], *command: str) -> str:
    """Run a command in the template, which has no table of routes: those of renders differ."""
    in_environment(TEMPLATE, variables, "python", "-m", "app.cli", "doctor", "--write-routes")
    return in_environment(TEMPLATE, variables, *command)


@pytest.mark.whole_suite
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("interpreter", ["3.13"], indirect=True)
def test_the_proof_holds_for_the_template_as_it_lies(
    environment: Environment, interpreter: str
) -> None:
    """On SQLite and PostgreSQL, on the highest Python with the highest libraries."""
    few = ["-m", "not thorough"]
    output = in_template(environment(interpreter), *PROOF, *few)
    assert re.search(r"^\d+ passed in", output, re.MULTILINE), output[-2000:]


@pytest.mark.campaign
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("interpreter", ["3.13"], indirect=True)
def test_the_proof_holds_also_where_a_commit_runs_one_of_many_cases(
    environment: Environment, interpreter: str
) -> None:
    output = in_template(environment(interpreter), *PROOF, "-m", "thorough")
    assert re.search(r"^\d+ passed in", output, re.MULTILINE), output[-2000:]
