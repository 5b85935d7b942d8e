"""Fine-tuning as a job: checks the files, hands them over, follows the provider's job to its end.

Each step is recorded before the next, and the job gives itself back while the provider trains. What
a killed worker may have left at the provider is looked for before anything is made a second time.
"""

import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.batches import files
from engine.errors import AppError, DeadlineExceeded, ModelError
from engine.fine_tuning.jobs import end_fine_tuning, request_cancel
from engine.fine_tuning.provider_job import ProviderEvent, ProviderJob, UnreadableAnswer
from engine.fine_tuning.schema import TrainingError
from engine.fine_tuning.steps import (
    MOST_CREATES,
    begin_create,
    count_missing,
    count_poll,
    forbid_create,
    keep_sent,
    known_events,
    take_answer,
)
from engine.fine_tuning.tables import FINAL, FineTuningJobRow
from engine.fine_tuning.trainer import Trainer, trainer_of
from engine.fine_tuning.training_file import FEWEST, TrainingFileCheck
from engine.jobs import jobs
from engine.jobs.jobs import DAY, Job
from engine.jobs.runs import Later, LostRunError, Run, allow_all_tries, require_run
from engine.process.backoff import backoff
from engine.sql.tables import JobRow

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger(__name__)

LONGEST_POLL = 60.0
"""Seconds between two looks at a training that does not change."""


class FineTuneSubject(BaseModel):
    """Subject of the job."""

    job_id: str


async def fine_tune(run: Run, subject: FineTuneSubject) -> None:
    """Carry a fine-tuning on from its last step. Raise `Later` while the provider trains."""
    row = await run.resources.database.read(read_row, subject.job_id)
    if row is None:
        return
    training = Training(run, row, trainer_of(run.resources, row))
    try:
        if row.status not in FINAL:
            await training.advance()
        await training.clean()
    except (LostRunError, DeadlineExceeded):
        raise
    except AppError as error:
        await training.fail_or_wait(error)


class Training:
    """One attempt at a fine-tuning."""

    def __init__(self, run: Run, row: FineTuningJobRow, trainer: Trainer) -> None:
        self._run = run
        self._row = row
        self._trainer = trainer
        self._settings = run.resources.settings

    async def advance(self) -> None:
        """Do the steps that are left. Raise `Later` unless the job has ended."""
        if self._row.sent_files is None:
            await self._record(keep_sent, *await self._send_files())
        if self._row.provider_job is None:
            answer: ProviderJob | None = await self._create()
        else:
            answer = await self._look(self._row.provider_job)
        if answer is None:
            await self._record(count_missing)
        else:
            events = await self._events(answer.id)
            await self._record(take_answer, answer, events, await self._checkpoints(answer))
        if self._row.status not in FINAL:
            raise self._next_look()

    async def clean(self) -> None:
        """Delete the files at the provider."""
        sent = msgspec.json.decode(self._row.sent_files) if self._row.sent_files else {}
        try:
            await self._trainer.remove_files(list(sent.values()))
        except ModelError as error:
            if _passes(error):
                raise
            log.warning("files of %s stay at the provider: %s", self._row.id, error.message)

    async def fail_or_wait(self, error: AppError) -> None:
        """Raise `Later` for an error that may pass; a training that is under way outlasts all."""
        if self._row.provider_job is None and not _passes(error):
            reason = TrainingError(
                code=error.code or "provider_error", message=error.message, param=error.param
            )
            await self._record(end_fine_tuning, "failed", reason)
            await self.clean()
            return
        log.info("%s waits for its provider: %s", self._row.id, error.message)
        if self._row.status in FINAL:
            raise Later(LONGEST_POLL)
        await self._record(count_poll)
        raise self._next_look()

    def _next_look(self) -> Later:
        first = self._settings.fine_tuning_poll_seconds
        return Later(backoff(self._row.polls, first, LONGEST_POLL))

    async def _send_files(self) -> tuple[dict[str, str], int]:
        """Check and send the files; return the provider's ids by their names, and their tokens."""
        given = {"training_file": self._row.training_file}
        if self._row.validation_file:
            given["validation_file"] = self._row.validation_file
        left = self._settings.fine_tuning_tokens
        for param, file_id in given.items():
            left -= await self._check(param, file_id, left)
        sent = {}
        for param, file_id in given.items():
            file = await self._read(files.get_file, file_id)
            sent[param] = await self._trainer.upload(
                file.filename, file.bytes, self._parts(file_id)
            )
        return sent, self._settings.fine_tuning_tokens - left

    async def _check(self, param: str, file_id: str, most_tokens: int) -> int:
        resources, fewest = self._run.resources, FEWEST if param == "training_file" else 1
        count = resources.tokenizer.count_blocking
        check = TrainingFileCheck(param, fewest=fewest, most_tokens=most_tokens, count=count)
        async for part in self._parts(file_id):
            await resources.offload.in_thread(check.feed, part)
        await resources.offload.in_thread(check.end)
        return check.tokens

    async def _create(self) -> ProviderJob:
        """Return the provider's job: the one of an earlier attempt, where there is one."""
        row, sent = self._row, msgspec.json.decode(self._row.sent_files or b"{}")
        settle = self._settings.fine_tuning_settle_seconds
        if row.creating_at is not None:
            if (early := row.creating_at + settle - time.time()) > 0:
                raise Later(min(early, settle))
            if found := await self._trainer.find(list(sent.values()), row.creating_at):
                return found
            if row.creates >= MOST_CREATES:
                message = "The provider was asked, and no training of this job is found there."
                raise ModelError(message, code="provider_error")
        await self._record(begin_create)
        asked = msgspec.json.decode(row.request)
        handed = ("hyperparameters", "method", "seed", "suffix")
        chosen = {name: asked[name] for name in handed if name in asked}
        try:
            return await self._trainer.create({"model": row.model, **sent, **chosen})
        except UnreadableAnswer:
            await self._record(forbid_create)
            raise Later(settle) from None

    async def _look(self, job_id: str) -> ProviderJob | None:
        if self._row.cancel_requested:
            try:
                return await self._trainer.act(job_id, "cancel")
            except ModelError as error:
                if _passes(error):
                    raise  # else it may have ended meanwhile
        return await self._trainer.look(job_id)

    async def _events(self, job_id: str) -> list[ProviderEvent]:
        """Return the new events; none where the provider does not give them now."""
        known = await self._run.resources.database.read(known_events, self._row.id)
        try:
            return await self._trainer.events(job_id, known)
        except ModelError as error:
            log.info("no events of %s: %s", self._row.id, error.message)
            return []

    async def _checkpoints(self, answer: ProviderJob) -> list[str]:
        """Return the names of the checkpoints' models where the training has succeeded."""
        if answer.status != "succeeded":
            return []
        try:
            found, _ = await self._trainer.checkpoints(answer.id, {"limit": "100"})
        except ModelError:
            return []
        return [each.fine_tuned_model_checkpoint for each in found]

    async def _parts(self, file_id: str) -> AsyncIterator[bytes]:
        position: int | None = 0
        while position is not None:
            part = await self._read(files.read_part, file_id, position)
            yield part.data
            position = part.position

    async def _read(
        self, fn: Callable[Concatenate[Session, str, P], T], /, *args: P.args, **kwargs: P.kwargs
    ) -> T:
        database = self._run.resources.database
        return await database.read(fn, self._row.caller_id, *args, **kwargs)

    async def _record(
        self,
        step: Callable[Concatenate[Session, FineTuningJobRow, P], object],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Record a step. Raise `Later` where the job has ended meanwhile, by its caller's wish."""

        def record(session: Session) -> FineTuningJobRow:
            row = lock_row(session, self._run, self._row.id)
            if row.status not in FINAL:
                step(session, row, *args, **kwargs)
                allow_all_tries(session, self._run.id)
                session.flush()
            return row

        was_open = self._row.status not in FINAL
        self._row = await self._run.resources.database.write(record)
        if was_open and self._row.status == "cancelled":
            raise Later(0.0)


def read_row(session: Session, job_id: str) -> FineTuningJobRow | None:
    """Return the row of a job of any caller."""
    return session.get(FineTuningJobRow, job_id)


def lock_row(session: Session, run: Run, job_id: str) -> FineTuningJobRow:
    """Return the row, locked. Raise `LostRunError` where another worker has the run."""
    require_run(session, run.id, run.owner)
    return session.get_one(FineTuningJobRow, job_id, with_for_update=True)


def work_ended(session: Session, job: JobRow) -> None:
    """Follow a job that ended before its fine-tuning did by another, for what is left to do.

    One that was cancelled as a job is a wish to cancel the fine-tuning.
    """
    subject = FineTuneSubject.model_validate(job.subject)
    row = session.get(FineTuningJobRow, subject.job_id, with_for_update=True)
    if row is None or row.status in FINAL:
        return
    if job.status == "cancelled":
        request_cancel(session, row)
    else:
        late = "The training did not end in its time: it may go on at the provider."
        code, message = job.error_code or "deadline_exceeded", job.error_message or late
        end_fine_tuning(session, row, "failed", TrainingError(code=code, message=message))
    work = jobs.submit_job(
        session,
        job.caller_id,
        FINE_TUNE,
        subject,
        request_id=job.request_id,
        traceparent=job.traceparent,
    )
    row.work_id = work.id


def _passes(error: AppError) -> bool:
    return error.retry_after is not None or isinstance(error, TimeoutError)


FINE_TUNE: Job[FineTuneSubject] = Job(
    "fine_tune",
    FineTuneSubject,
    fine_tune,
    seconds=14 * DAY,
    submittable=False,
    ended=work_ended,
)
