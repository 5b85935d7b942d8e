"""Nothing is lost, doubled or miscounted, whatever workers, callers and time do to the store."""

import pytest

from tests.proof.domain.batch_machine import BatchMachine
from tests.proof.domain.job_machine import JobMachine
from tests.proof.domain.machine import run
from tests.proof.features import features


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
