"""Jobs: hand over to zone 3, follow, cancel, retry. No job ever runs here."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.caller import Flags
from app.dependencies.database import CallersRows
from app.dependencies.jobs import CallersJobs
from app.dependencies.resources import Shared
from engine.body import Body, read_field
from engine.errors import Conflict
from engine.jobs import jobs
from engine.jobs.jobs import JobObject, JobQuery, job_for_callers
from engine.process.queue import Kind
from engine.sql.pagination import Page

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

NOT_YET = 1.0
"""Seconds after which to look again at a job that has not ended."""


class NewJob(Body):
    """Body of `POST /v1/jobs`."""

    name: str = Field(max_length=100)
    subject: dict[str, Any] = Field(default_factory=dict)


NewJobBody = Annotated[NewJob, Depends(json_body(NewJob))]


@router.post("", status_code=202, openapi_extra=describe_body(NewJob, {"name": "name-of-a-job"}))
async def submit_job(
    new: NewJobBody, flags: Flags, callers_jobs: CallersJobs, shared: Shared, response: Response
) -> JobObject:
    """Submit a job by its name. The `Location` of the answer shows its progress."""
    job = job_for_callers(shared.jobs, new.name, flags)
    subject = read_field(job.subject, jobs.storable_subject(new.subject), "subject")
    submitted = await callers_jobs.submit(job, subject)
    response.headers["location"] = f"{shared.settings.root_path}/v1/jobs/{submitted.id}"
    _look_again(response)
    return submitted


@router.get("")
async def list_jobs(rows: CallersRows, query: Annotated[JobQuery, Query()]) -> Page[JobObject]:
    """List the caller's jobs, of one name or status where asked for."""
    return await rows.read(jobs.page_of_jobs, query)


@router.get("/{job_id}", responses={202: {"model": JobObject}})
async def get_job(job_id: str, rows: CallersRows, response: Response) -> JobObject:
    """Return a job: 200 when it has ended, 202 with `Retry-After` before."""
    job = await rows.read(jobs.get_job, job_id)
    if job.status not in jobs.FINAL:
        response.status_code = 202
        _look_again(response)
    return job


@router.post("/{job_id}/cancel", responses=failures(Conflict))
async def cancel_job(job_id: str, rows: CallersRows, shared: Shared) -> JobObject:
    """Cancel a job: a waiting one at once, a running one as soon as its worker hears of it."""
    return await rows.write(jobs.cancel_job, job_id, jobs.ended_by(shared.jobs))


@router.post("/{job_id}/retry", status_code=202, responses=failures(Conflict))
async def retry_job(job_id: str, rows: CallersRows, shared: Shared) -> JobObject:
    """Queue a job again that failed, expired or was cancelled."""
    job = await rows.write(jobs.retry_job, job_id, shared.jobs)
    await shared.queue.wake(Kind.JOBS)
    return job


def _look_again(response: Response) -> None:
    response.headers["retry-after"] = f"{NOT_YET:.0f}"
    response.headers["retry-after-ms"] = f"{NOT_YET * 1000:.0f}"
