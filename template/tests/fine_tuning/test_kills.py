"""A worker is killed at each step: the provider has exactly one job, and it comes to its end."""

import pytest

from tests.fine_tuning.conftest import Lab
from tests.fine_tuning.provider import Said
from tests.fine_tuning.training import begin, ended
from tests.service import eventually

STEPS = [
    "POST /files",
    "POST /fine_tuning/jobs",
    "GET /fine_tuning/jobs/ID/events",
    "GET /fine_tuning/jobs/ID",
    "GET /fine_tuning/jobs/ID/checkpoints",
    "GET /files",
    "DELETE /files/ID",
]


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_leaves_one_job_at_the_provider(lab: Lab, step: str) -> None:
    first = lab.work()
    lab.provider.fault(step, first.process.kill)
    caller = lab.caller()
    job = begin(caller)
    eventually(lambda: first.ended)
    lab.work()
    assert ended(caller, job).status == "succeeded"
    assert len(lab.provider.of(job.id)) == 1
    eventually(lambda: not lab.provider.files)


def test_a_kill_leaves_one_job_where_the_provider_drops_metadata(lab: Lab) -> None:
    lab.provider.keeps_metadata = False
    first = lab.work()
    lab.provider.fault("POST /fine_tuning/jobs", first.process.kill)
    caller = lab.caller()
    job = begin(caller)
    eventually(lambda: first.ended)
    lab.work()
    assert ended(caller, job).status == "succeeded"
    assert len(lab.provider.of(job.id)) == 1


def test_a_call_that_was_lost_with_its_worker_is_made_again(lab: Lab) -> None:
    first = lab.work()

    def lose() -> Said:
        first.process.kill()
        lab.provider.jobs.clear()
        return None

    lab.provider.fault("POST /fine_tuning/jobs", lose)
    caller = lab.caller()
    job = begin(caller)
    eventually(lambda: first.ended)
    lab.work()
    assert ended(caller, job).status == "succeeded"
    assert len(lab.provider.of(job.id)) == 1


def test_a_connection_that_breaks_at_the_creation_leaves_one_job(lab: Lab) -> None:
    lab.work()
    lab.provider.fault("POST /fine_tuning/jobs", lambda: (0, None))
    caller = lab.caller()
    job = begin(caller)
    assert ended(caller, job).status == "succeeded"
    assert len(lab.provider.of(job.id)) == 1
