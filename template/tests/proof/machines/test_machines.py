"""Nothing is lost, doubled or miscounted, whatever workers, callers and time do to the store."""

import pytest

from tests.proof.machines.batch_machine import BatchMachine
from tests.proof.machines.features import features
from tests.proof.machines.job_machine import JobMachine
from tests.proof.machines.machine import run


def test_batches_and_jobs_outlive_their_workers_in_a_few_examples() -> None:
    run(BatchMachine, examples=6)
    with features():
        run(JobMachine, examples=15)


@pytest.mark.thorough
def test_batches_outlive_their_workers() -> None:
    run(BatchMachine, examples=20)


@pytest.mark.thorough
def test_jobs_outlive_their_workers() -> None:
    with features():
        run(JobMachine, examples=50)
