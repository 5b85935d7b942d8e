"""Submission of jobs to zone 3, in this caller's name and trace."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends
from pydantic import BaseModel

from app.dependencies.idempotency import Once, OnceDatabase
from app.dependencies.resources import Shared
from engine.jobs import jobs
from engine.jobs.jobs import Job, JobObject
from engine.process.queue import Kind, Queue
from engine.watch import telemetry

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Submission:
    """Submits jobs that belong to one caller."""

    rows: OnceDatabase
    queue: Queue

    async def submit(self, job: Job[S], subject: S) -> JobObject:
        """Record the job and wake a worker up; return the job, which cannot be lost any more."""
        submitted = await self.rows.write(
            jobs.submit_job,
            job,
            subject,
            request_id=telemetry.request_id.get(),
            traceparent=telemetry.traceparent.get(),
        )
        await self.queue.wake(Kind.JOBS)
        return submitted


async def submission(rows: Once, shared: Shared) -> Submission:
    """Return the submission bound to this caller."""
    return Submission(rows, shared.queue)


CallersJobs = Annotated[Submission, Depends(submission)]
