"""The proof holds for the template as it lies: a file of its own, which takes longest of all."""

import re
from collections.abc import Callable

import pytest

from tests.conftest import Environment
from tests.test_rendered_project import TEMPLATE, in_environment

IN_ORDER = ["--dist", "loadfile", "--no-loadscope-reorder"]
OPTIONS = ["tests/documents", "tests/fine_tuning"]
# Three files at once on two processors: the proof also waits, for servers and leases.
PROOF = ["python", "-m", "pytest", "-q", "-n", "3", *IN_ORDER, *OPTIONS, "tests/proof"]

pytestmark = [
    pytest.mark.timeout(2400),
    pytest.mark.parametrize("interpreter", ["3.13"], indirect=True),
]


@pytest.fixture
def prove(environment: Environment, interpreter: str) -> Callable[..., None]:
    """Run the proof with these options, on the highest Python with the highest libraries."""

    def run(*options: str) -> None:
        output = in_template(environment(interpreter), *PROOF, *options)
        assert re.search(r"^\d+ passed in", output, re.MULTILINE), output[-2000:]

    return run


def in_template(variables: dict[str, str], *command: str) -> str:
    """Run a command in the template, which has no table of routes: those of renders differ."""
    in_environment(TEMPLATE, variables, "python", "-m", "app.cli", "doctor", "--write-routes")
    return in_environment(TEMPLATE, variables, *command)


@pytest.mark.whole_suite
def test_the_proof_holds_on_what_is_embedded(prove: Callable[..., None]) -> None:
    prove("--servers", "embedded", "-m", "not thorough")


@pytest.mark.installed
def test_the_proof_holds_on_servers_of_the_system(prove: Callable[..., None]) -> None:
    prove("--servers", "installed", "-m", "not thorough")


@pytest.mark.campaign
def test_the_proof_holds_where_a_commit_runs_one_of_many_cases(prove: Callable[..., None]) -> None:
    prove("--servers", "all", "-m", "thorough")
