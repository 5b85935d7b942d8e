"""Runs one job under a lease, until its end, its deadline or its cancellation."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from pydantic import BaseModel

from engine import deadline
from engine.jobs import runs
from engine.jobs.jobs import Job, ended_by
from engine.jobs.runs import (
    ClaimedJob,
    JobOutcome,
    Later,
    LostRunError,
    Run,
)
from engine.process.outages import is_refused
from engine.process.queue import Kind
from engine.process.tasks import end_tasks, run_uncut
from engine.resources import Resources
from engine.sql.statements import new_id
from engine.watch.telemetry import request_id, traceparent
from engine.work.leases import keep_lease
from engine.work.retry_policy import UNRECORDABLE, UNRECORDABLE_MESSAGE, failure_of

log = logging.getLogger(__name__)

LATE = "The job did not end before its deadline."


async def claim_run(
    resources: Resources,
    _stopping: asyncio.Event,
    *,
    pool: Kind = Kind.JOBS,
    scheduled: bool = False,
) -> Callable[[], Coroutine[Any, Any, None]] | None:
    """Claim the next due job of a pool; return the function that runs it, None for no job.

    Where no agent is left, the pool of jobs ends their runs too: these have no pools of their own.
    """
    asked_at = asyncio.get_running_loop().time()
    pools = {pool}
    if pool is Kind.JOBS and not resources.agents:
        pools |= {Kind.AGENTS, Kind.BACKGROUND_AGENTS}
    claimed = await resources.database.write(
        runs.claim_job,
        new_id("lease"),
        resources.settings.lease_seconds,
        sorted(name for name, job in resources.jobs.items() if job.pool in pools),
        scheduled=scheduled,
    )
    return None if claimed is None else partial(run_job, resources, claimed, asked_at)


async def run_job(resources: Resources, claimed: ClaimedJob, asked_at: float) -> None:
    """Run the job and record its outcome; give it back where this process stops before."""
    request_id.set(claimed.request_id)
    traceparent.set(claimed.traceparent)
    outcome = JobOutcome("queued")
    try:
        outcome = await Attempt(
            resources, claimed, resources.jobs[claimed.name], asked_at
        ).outcome()
    except LostRunError as error:
        log.warning("%s", error)
    finally:
        await run_uncut(_record(resources, claimed, outcome))
        await resources.queue.wake(Kind.WEBHOOKS)


async def _record(resources: Resources, claimed: ClaimedJob, outcome: JobOutcome) -> None:
    """Record the outcome. If SQL refuses it, the job fails, or it would be run again."""
    ended = ended_by(resources.jobs)
    try:
        await resources.database.write(runs.record_job, claimed, outcome, ended)
    except Exception as error:
        if not is_refused(error):
            raise
        log.exception("the outcome of %s cannot be kept", claimed.id)
        refused = JobOutcome("failed", error_code=UNRECORDABLE, error_message=UNRECORDABLE_MESSAGE)
        await resources.database.write(runs.record_job, claimed, refused, ended)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job."""

    resources: Resources
    claimed: ClaimedJob
    job: Job[Any]
    asked_at: float
    """When the lease was asked for, on the loop's clock."""

    async def outcome(self) -> JobOutcome:
        """Return the outcome. Raise `LostRunError` where another worker has taken the job over."""
        running = asyncio.create_task(self._run())
        holding = asyncio.create_task(self._keep_alive())
        try:
            await asyncio.wait({running, holding}, return_when=asyncio.FIRST_COMPLETED)
            return running.result() if running.done() else holding.result()
        finally:
            await end_tasks(running, holding)

    async def _run(self) -> JobOutcome:
        claimed = self.claimed
        run = Run(
            resources=self.resources,
            id=claimed.id,
            caller_id=claimed.caller_id,
            attempt=claimed.attempt,
            progress=claimed.progress,
            owner=claimed.owner,
        )
        limit = asyncio.timeout_at(deadline.shorten(claimed.seconds))
        try:
            async with limit:
                subject = self.job.subject.model_validate(claimed.subject)
                result: BaseModel | None = await self.job.run(run, subject)
            said = result.model_dump(mode="json") if result else None
        except LostRunError:
            raise
        except Later as later:
            return JobOutcome("queued", delay=later.seconds)
        except Exception as error:  # noqa: BLE001 -- any error is the job's outcome
            if limit.expired() or deadline.passed():
                return JobOutcome("expired", error_code="deadline_exceeded", error_message=LATE)
            return self._failed(error)
        return JobOutcome("succeeded", result=said)

    def _failed(self, error: Exception) -> JobOutcome:
        failure = failure_of(error)
        delay = failure.delay(self.claimed.errors, self.job.attempts)
        return JobOutcome(
            "failed" if delay is None else "queued",
            error_code=failure.code,
            error_message=failure.message,
            own=failure.own,
            delay=delay or 0.0,
        )

    async def _keep_alive(self) -> JobOutcome:
        """Renew the lease; return the outcome of a job that is cancelled."""
        seconds, claimed = self.resources.settings.lease_seconds, self.claimed
        write = self.resources.database.write
        renew = partial(write, runs.renew_job, claimed.id, claimed.owner, seconds)
        if await keep_lease(renew, claimed.id, seconds, self.asked_at, {"running"}) is None:
            raise LostRunError(f"The job {claimed.id} is another worker's by now.")
        return JobOutcome("cancelled")
