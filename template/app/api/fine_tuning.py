"""Fine-tuning: hand over to zone 3, follow, cancel. The provider trains."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request

from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.caller import CurrentCaller, Flags
from app.dependencies.database import CallersRows
from app.dependencies.idempotency import Once
from app.dependencies.resources import Shared
from engine.errors import (
    Conflict,
    ModelError,
    NotFound,
    PermissionDenied,
    RateLimited,
    Unsupported,
)
from engine.fine_tuning import jobs
from engine.fine_tuning.schema import Checkpoint, FineTuningEvent, FineTuningJob, NewFineTuning
from engine.fine_tuning.trainer import require_trainer, trainer_of
from engine.fine_tuning.training import FINE_TUNE
from engine.process.queue import Kind
from engine.sql.pagination import Page, PageQuery
from engine.watch import telemetry

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["fine-tuning"])

NewFineTuningBody = Annotated[NewFineTuning, Depends(json_body(NewFineTuning))]

EXAMPLE = {"model": "gpt-4o-mini-2024-07-18", "training_file": "file_of_an_upload"}


@router.post(
    "",
    openapi_extra=describe_body(NewFineTuning, EXAMPLE),
    responses=failures(NotFound, PermissionDenied, RateLimited),
)
async def create_fine_tuning_job(
    new: NewFineTuningBody, once: Once, flags: Flags, caller: CurrentCaller, shared: Shared
) -> FineTuningJob:
    """Commit a job, then wake a worker up: its files are checked there."""
    new.refuse_others()
    require_trainer(shared.settings)
    flag = shared.settings.fine_tuning_flag
    if flag is not None and flag not in flags:
        raise PermissionDenied("Fine-tuning is not switched on for you.")
    if shared.model_owners:
        await shared.model_owners.require_owner(caller.id, new.model)
    job = await once.write(
        jobs.create_fine_tuning,
        new,
        kind=FINE_TUNE,
        most_open=shared.settings.fine_tuning_open_jobs,
        request_id=telemetry.request_id.get(),
        traceparent=telemetry.traceparent.get(),
    )
    await shared.queue.wake(Kind.JOBS)
    return job


@router.get("")
async def list_fine_tuning_jobs(
    request: Request, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[FineTuningJob]:
    """List the caller's jobs."""
    if any(name.startswith("metadata") for name in request.query_params):
        message = "Jobs are not filtered by metadata: list them and compare."
        raise Unsupported(message, param="metadata")
    return await rows.read(jobs.page_of_fine_tunings, query)


@router.get("/{job_id}")
async def get_fine_tuning_job(job_id: str, rows: CallersRows) -> FineTuningJob:
    """Return a job with its status and its model."""
    return await rows.read(jobs.get_fine_tuning, job_id)


@router.post("/{job_id}/cancel", responses=failures(Conflict))
async def cancel_fine_tuning_job(job_id: str, rows: CallersRows, shared: Shared) -> FineTuningJob:
    """Cancel a job. Where the provider trains already, its answer decides: look again."""
    job = await rows.write(jobs.cancel_fine_tuning, job_id)
    await shared.queue.wake(Kind.JOBS)
    return job


@router.post("/{job_id}/{action}", responses=failures(Conflict, ModelError))
async def act_on_fine_tuning_job(
    job_id: str, action: Literal["pause", "resume"], rows: CallersRows, shared: Shared
) -> FineTuningJob:
    """Pause or resume a job, where the provider can."""
    row = await rows.read(jobs.find_fine_tuning, job_id)
    if row.provider_job is None or row.finished_at is not None:
        raise Conflict(f"The fine-tuning job {job_id} is {row.status}: it cannot {action} now.")
    answer = await trainer_of(shared, row).act(row.provider_job, action)
    if answer is None:
        raise Unsupported(f"The provider cannot {action} a fine-tuning.", param="action")
    return jobs.as_fine_tuning(row).model_copy(update={"status": answer.status})


@router.get("/{job_id}/events")
async def list_fine_tuning_events(
    job_id: str, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[FineTuningEvent]:
    """List the events of a job, newest first: the provider's, and those of its files' check."""
    return await rows.read(jobs.page_of_events, job_id, query)


@router.get("/{job_id}/checkpoints", responses=failures(ModelError))
async def list_fine_tuning_checkpoints(
    job_id: str, rows: CallersRows, shared: Shared, query: Annotated[PageQuery, Query()]
) -> Page[Checkpoint]:
    """List the checkpoints of a job, as the provider has them."""
    row = await rows.read(jobs.find_fine_tuning, job_id)
    found, more = list[Checkpoint](), False
    if row.provider_job is not None:
        asked = query.model_dump(include={"after", "limit"}, exclude_none=True)
        sent = {name: str(value) for name, value in asked.items()}
        found, more = await trainer_of(shared, row).checkpoints(row.provider_job, sent)
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    return Page(data=found, first_id=first, last_id=last, has_more=more)
