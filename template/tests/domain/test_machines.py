"""Nothing is lost, doubled or miscounted, whatever workers, callers and time do to the store."""

from tests.domain.batch_machine import BatchMachine
from tests.domain.job_machine import JobMachine
from tests.domain.machine import run
from tests.features import features


def test_batches_outlive_their_workers() -> None:
    run(BatchMachine, examples=20)


def test_jobs_outlive_their_workers() -> None:
    with features():
        run(JobMachine, examples=50)
