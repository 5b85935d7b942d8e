"""Jobs of any kind through the API and a worker: followed, repeated, cancelled, never lost."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from engine.sql.statements import now
from engine.sql.tables import JobRow, LeaseRow
from tests.jobs.modules import GUIDE, documented_job
from tests.service import Program, Service, eventually, service

STEPS = """
import asyncio, os
from pydantic import BaseModel
from engine.jobs.jobs import Job
from engine.jobs.runs import Run
from engine.errors import InvalidRequest, ModelRateLimited, ModelUnavailable

class Steps(BaseModel):
    steps: int = 1
    seconds: float = 0.0
    failures: int = 0
    refusals: int = 0
    hopeless: bool = False
    deadly: bool = False
    unforeseen: bool = False

class Done(BaseModel):
    steps: int
    attempt: int
    began_at: int

async def work(run: Run, subject: Steps) -> Done:
    if subject.deadly:
        os._exit(1)
    if subject.hopeless:
        raise InvalidRequest("This never works.", code="hopeless")
    if subject.unforeseen:
        raise ZeroDivisionError
    if run.attempt <= subject.refusals:
        raise ModelRateLimited("Busy.", retry_after=0.01)
    if run.attempt <= subject.failures:
        raise ModelUnavailable("Not now.", retry_after=0.01)
    began_at = (run.progress or {"step": 0})["step"]
    for step in range(began_at, subject.steps):
        await asyncio.sleep(subject.seconds)
        await run.report(step=step + 1)
    return Done(steps=subject.steps, attempt=run.attempt, began_at=began_at)

JOB = Job("steps", Steps, work, attempts=2, seconds=60)
"""
IMPORTED = "from engine.jobs.jobs import Job\nfrom app.features.steps import Steps, work\n"
MODULES = {
    "summary": documented_job(),
    "steps": STEPS,
    "hasty": IMPORTED + "JOB = Job('hasty', Steps, work, seconds=1)",
    "hidden": IMPORTED + "JOB = Job('hidden', Steps, work, flag='hidden')",
    "ticking": IMPORTED + "JOB = Job('ticking', Steps, work, cron='* * * * * *')",
}
documented = pytest.mark.skipif(not GUIDE.exists(), reason=f"{GUIDE} has been deleted")
WORKER_JOBS = 3
CRASHES = 3  # a busy machine takes a lease away now and then, which counts as one
ENDED = {"succeeded", "failed", "cancelled", "expired"}


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    for name, source in MODULES.items():
        (folder / f"{name}.py").write_text(source)
    return folder


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(
    request: pytest.FixtureRequest,
    redis_url: str,
    modules: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """A service with those jobs; no worker runs yet."""
    on_postgres = request.param == "postgresql"
    url = request.getfixturevalue("postgres_url") if on_postgres else None
    with service(
        tmp_path_factory.mktemp("jobs"),
        redis_url,
        url,
        modules=modules,
        lease_seconds=1.5,
        sweep_seconds=0.2,
        batch_crashes=CRASHES,
        worker_jobs=WORKER_JOBS,
        shutdown_grace=0.5,
    ) as running:
        running.start("api")
        yield running


@pytest.fixture
def worked(api: Service) -> Iterator[Service]:
    """The service, whose workers end with the test. For the tests before those with `worker`."""
    yield api
    for program in api.programs[1:]:
        program.stop()


@pytest.fixture(scope="module")
def worker(api: Service) -> Program:
    """A worker for all the tests that need no more than one."""
    return api.start("worker")


@pytest.fixture
def http(api: Service) -> Iterator[httpx.Client]:
    with api.http(api.new_key()) as opened:
        yield opened


def submit(http: httpx.Client, name: str = "steps", **subject: object) -> dict[str, Any]:
    answer = http.post("/v1/jobs", json={"name": name, "subject": subject})
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    return job


def state_of(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/jobs/{job['id']}").json()
    return found


def end_of(http: httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    eventually(lambda: state_of(http, job)["status"] in ENDED)
    return state_of(http, job)


def step_reached(http: httpx.Client, job: dict[str, Any], step: int) -> Callable[[], bool]:
    return lambda: (state_of(http, job)["progress"] or {"step": 0})["step"] >= step


def counts(session: Session, job_id: str) -> tuple[int, int, int]:
    job = session.get_one(JobRow, job_id)
    return job.attempt, job.errors, job.crashes


def let_expire(session: Session, job_id: str) -> None:
    session.get_one(JobRow, job_id).deadline_at = time.time() - 1


def ticks(session: Session) -> list[str]:
    """Return the ticks whose jobs have run."""
    done = select(JobRow.request_id).where(JobRow.name == "ticking", JobRow.status == "succeeded")
    return list(session.scalars(done))


def open_leases(session: Session) -> int:
    living = select(func.count()).select_from(LeaseRow).where(LeaseRow.expires_at > now())
    return int(session.scalar(living) or 0)


def test_a_killed_workers_job_goes_on_from_its_last_report(
    worked: Service, http: httpx.Client
) -> None:
    worker = worked.start("worker")
    job = submit(http, steps=8, seconds=0.2)
    eventually(step_reached(http, job, 2))
    worker.stop(signal.SIGKILL)
    worked.start("worker")
    ended = end_of(http, job)
    assert ended["status"] == "succeeded"
    assert ended["result"]["began_at"] >= 2
    attempts, errors, crashes = worked.in_database(counts, job["id"])
    # On a busy machine the second worker may lose its lease and go on in another attempt.
    assert (attempts >= 2, errors, crashes >= 1) == (True, 0, True)


def test_deploys_cost_a_job_nothing(worked: Service, http: httpx.Client) -> None:
    job = submit(http, steps=6, seconds=0.3)
    for deploy in range(2):
        worker = worked.start("worker")
        eventually(step_reached(http, job, deploy + 1))
        assert worker.stop() == 0
        assert worked.in_database(open_leases) == 0
    worked.start("worker")
    assert end_of(http, job)["status"] == "succeeded"
    attempts, errors, crashes = worked.in_database(counts, job["id"])
    assert (attempts > 1, errors, crashes) == (True, 0, 0)


def test_a_job_that_kills_its_workers_is_given_up(worked: Service, http: httpx.Client) -> None:
    job = submit(http, deadly=True)
    for _ in range(CRASHES):
        worker = worked.start("worker")
        eventually(lambda: worker.ended)  # noqa: B023 -- asked at once
    worked.start("worker")
    ended = end_of(http, job)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "worker_crashed")
    assert worked.in_database(counts, job["id"]) == (CRASHES, 0, CRASHES)


def test_a_waiting_job_is_cancelled_at_once(http: httpx.Client) -> None:
    job = submit(http)
    assert http.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelled"
    assert state_of(http, job)["attempt"] == 0


def test_a_job_that_waits_beyond_its_deadline_expires(worked: Service, http: httpx.Client) -> None:
    job = submit(http)
    worked.in_database(let_expire, job["id"])
    worked.start("worker")
    ended = end_of(http, job)
    assert (ended["status"], ended["attempt"]) == ("expired", 0)


def test_a_job_that_nobody_was_told_of_is_found(worked: Service, http: httpx.Client) -> None:
    job = submit(http)
    with Redis.from_url(worked.settings.broker_url) as redis:
        redis.flushall()
    worked.start("worker")
    assert end_of(http, job)["status"] == "succeeded"


def test_jobs_are_listed_by_name_and_status_in_pages(api: Service) -> None:
    with api.http(api.new_key("lister")) as http:
        made = [submit(http)["id"] for _ in range(3)]
        submit(http, "hasty")
        http.post(f"/v1/jobs/{made[0]}/cancel")
        page = http.get("/v1/jobs", params={"name": "steps", "limit": 2}).json()
        assert ([job["id"] for job in page["data"]], page["has_more"]) == (made[:0:-1], True)
        queued = http.get("/v1/jobs", params={"name": "steps", "status": "queued"}).json()
        assert [job["id"] for job in queued["data"]] == made[:0:-1]


def test_anothers_job_is_not_found(api: Service, http: httpx.Client) -> None:
    job = submit(http)
    with api.http(api.new_key("stranger")) as stranger:
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
            answer = stranger.request(method, f"/v1/jobs/{job['id']}{path}")
            assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"name": "nothing"}, 400, "name"),
        ({"name": "hidden"}, 403, None),
        ({"name": "ticking"}, 400, "name"),
        ({"name": "steps", "subject": {"steps": "many"}}, 400, "subject.steps"),
        ({"name": "steps", "subject": []}, 400, "subject"),
    ],
)
def test_a_job_that_cannot_be_is_refused(
    http: httpx.Client, body: object, status: int, param: str | None
) -> None:
    answer = http.post("/v1/jobs", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_job_keeps_its_callers_request_id(http: httpx.Client) -> None:
    job = http.post("/v1/jobs", json={"name": "steps"}, headers={"x-request-id": "mine-1"}).json()
    assert job["request_id"] == "mine-1"


@pytest.mark.usefixtures("worker")
def test_a_job_that_has_not_ended_is_a_202_that_says_when_to_look_again(
    http: httpx.Client,
) -> None:
    job = submit(http, steps=1, seconds=1)
    waiting = http.get(f"/v1/jobs/{job['id']}")
    assert (waiting.status_code, waiting.headers["retry-after"]) == (202, "1")
    end_of(http, job)
    ended = http.get(f"/v1/jobs/{job['id']}")
    assert (ended.status_code, "retry-after" in ended.headers) == (200, False)


@pytest.mark.usefixtures("worker")
@documented
def test_the_documented_job_sums_up_piece_by_piece(http: httpx.Client) -> None:
    job = end_of(http, submit(http, "summary", text="A long story. " * 400))
    assert job["status"] == "succeeded"
    assert job["progress"]["pieces"] == len(job["progress"]["summaries"]) == 3
    assert job["result"]["summary"] == " ".join(job["progress"]["summaries"])


@pytest.mark.usefixtures("worker")
@documented
def test_the_documented_job_counts_its_tokens_for_its_caller(api: Service) -> None:
    with api.http(api.new_key("payer")) as payer:
        end_of(payer, submit(payer, "summary", text="Short."))
        eventually(lambda: payer.get("/v1/usage").json()["data"])
        assert [day["requests"] for day in payer.get("/v1/usage").json()["data"]] == [1]


@pytest.mark.usefixtures("worker")
def test_an_error_that_may_pass_is_tried_again(http: httpx.Client) -> None:
    job = end_of(http, submit(http, failures=1))
    assert (job["status"], job["result"]["attempt"], job["error"]) == ("succeeded", 2, None)


@pytest.mark.usefixtures("worker")
def test_a_job_fails_after_its_attempts(http: httpx.Client) -> None:
    job = end_of(http, submit(http, failures=9))
    assert (job["status"], job["attempt"]) == ("failed", 2)
    assert job["error"] == {"code": "model_unavailable", "message": "Not now."}


@pytest.mark.usefixtures("worker")
def test_a_full_provider_costs_a_job_none_of_its_attempts(http: httpx.Client) -> None:
    job = end_of(http, submit(http, steps=1, refusals=2, failures=3))
    assert (job["status"], job["result"]["attempt"]) == ("succeeded", 4)


@pytest.mark.usefixtures("worker")
def test_an_error_that_stays_is_not_tried_again(http: httpx.Client) -> None:
    job = end_of(http, submit(http, hopeless=True))
    assert (job["status"], job["attempt"]) == ("failed", 1)
    assert job["error"] == {"code": "hopeless", "message": "This never works."}


@pytest.mark.usefixtures("worker")
def test_an_unforeseen_error_tells_the_caller_nothing_of_the_code(http: httpx.Client) -> None:
    job = end_of(http, submit(http, unforeseen=True))
    assert job["error"] == {"code": "internal_error", "message": "The server failed."}


@pytest.mark.usefixtures("worker")
def test_a_running_job_is_cancelled_by_its_worker(http: httpx.Client) -> None:
    job = submit(http, steps=1000, seconds=0.1)
    eventually(step_reached(http, job, 1))
    assert http.post(f"/v1/jobs/{job['id']}/cancel").json()["status"] == "cancelling"
    assert end_of(http, job)["status"] == "cancelled"
    assert state_of(http, job)["progress"]["step"] < 1000


@pytest.mark.usefixtures("worker")
def test_a_job_that_has_ended_cannot_be_cancelled(http: httpx.Client) -> None:
    job = end_of(http, submit(http))
    assert http.post(f"/v1/jobs/{job['id']}/cancel").status_code == 409


@pytest.mark.usefixtures("worker")
def test_a_job_is_stopped_at_its_deadline(http: httpx.Client) -> None:
    job = end_of(http, submit(http, "hasty", steps=1000, seconds=0.1))
    assert (job["status"], job["error"]["code"]) == ("expired", "deadline_exceeded")


@pytest.mark.usefixtures("worker")
def test_a_failed_job_may_be_tried_again_from_the_start(http: httpx.Client) -> None:
    job = end_of(http, submit(http, failures=2))
    assert job["status"] == "failed"
    assert http.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
    assert end_of(http, job)["status"] == "succeeded"
    assert http.post(f"/v1/jobs/{job['id']}/retry").status_code == 409


@pytest.mark.usefixtures("worker")
def test_a_scheduled_job_runs_once_a_tick_whatever_waits(api: Service, http: httpx.Client) -> None:
    """Two workers, all of whose places are taken by jobs that do not end."""
    api.start("worker")
    blocking = [submit(http, steps=1000, seconds=0.1) for _ in range(2 * WORKER_JOBS)]
    eventually(lambda: all(step_reached(http, job, 1)() for job in blocking))
    before = len(api.in_database(ticks))
    eventually(lambda: len(api.in_database(ticks)) >= before + 3)
    run = api.in_database(ticks)
    assert len(run) == len(set(run))
