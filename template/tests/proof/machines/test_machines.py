"""Nothing is lost, doubled or miscounted, whatever workers, callers and time do to the store."""

from tests.proof.machines.batch_machine import BatchMachine
from tests.proof.machines.features import features
from tests.proof.machines.job_machine import JobMachine
from tests.proof.machines.machine import run


def test_batches_outlive_their_workers() -> None:
    run(BatchMachine, examples=20)


def test_jobs_outlive_their_workers() -> None:
    with features():
        run(JobMachine, examples=50)
