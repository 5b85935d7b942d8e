"""No step is lost, done twice or written late, whatever workers, humans and time do to runs."""

import pytest

from tests.proof.agents.run_machine import RunMachine
from tests.proof.machines.machine import run


def test_runs_outlive_their_workers_in_a_few_examples() -> None:
    run(RunMachine, examples=10)


@pytest.mark.thorough
def test_runs_outlive_their_workers() -> None:
    run(RunMachine, examples=30)
