"""Nothing is lost, doubled or miscounted, whatever workers, callers and time do to the store."""

from tests.proof.domain.batch_machine import BatchMachine
from tests.proof.domain.job_machine import JobMachine
from tests.proof.domain.machine import run
from tests.proof.features import features


def test_batches_outlive_their_workers() -> None:
    run(BatchMachine, examples=20)


def test_jobs_outlive_their_workers() -> None:
    with features():
        run(JobMachine, examples=50)
