"""Background responses: each is a job, which a worker runs while its readers come and go.

A response begins in one transaction with its job and its first events, and ends in one with its
items, its last events and the duty to tell webhooks. A killed worker's answer is asked for again:
the half item is closed in the events, and the response has the items of the last attempt only.
"""

import time
from collections.abc import Callable
from contextlib import aclosing
from typing import TypeVar

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.errors import AppError, InvalidRequest, ModelError
from engine.jobs import jobs
from engine.jobs.jobs import Job, Jobs
from engine.jobs.runs import LostRunError, Run
from engine.models.interface import ChatRequest
from engine.models.wire import Json, encode_json
from engine.responses import conversations, event_log, store
from engine.responses.answering import PendingResponse
from engine.responses.event_log import EventGroup, EventWriter
from engine.responses.native import Relay
from engine.responses.schema import FINAL, ResponseObject, ResponseRequest, new_response
from engine.responses.transcript import Transcript, read_transcript
from engine.sql.tables import JobRow, ResponseRow
from engine.work import outbox

R = TypeVar("R", bound=Relay)


class Respond(BaseModel):
    """Subject of the job."""

    response_id: str


def start_response(
    session: Session,
    caller_id: str,
    request: ResponseRequest,
    transcript: Transcript,
    *,
    request_id: str,
    traceparent: str | None,
    kind: "Job[Respond] | None" = None,
) -> ResponseObject:
    """Record a response with its job and its first events: from here on it is not lost."""
    response = {**new_response(request), "status": "queued"}
    job = jobs.submit_job(
        session,
        caller_id,
        kind or RESPOND,
        Respond(response_id=response["id"]),
        request_id=request_id,
        traceparent=traceparent,
    )
    store.add_response(session, caller_id, response, transcript, request=request, job_id=job.id)
    if request.conversation_id:
        conversations.hold_turn(session, caller_id, response, transcript)
    translation = Relay(response)
    event_log.append_events(session, response["id"], 0, translation.begin())
    return ResponseObject.model_validate(response)


def cancel_response(session: Session, caller_id: str, response_id: str, kinds: Jobs) -> bytes:
    """Cancel a background response at once, and its job; return the response.

    One that has ended is returned as it is. Raise `NotFound` where the caller has none of that id,
    `InvalidRequest` for one that did not run in the background.
    """
    if not store.find_response(session, caller_id, response_id).background:
        message = "Only background responses can be cancelled."
        raise InvalidRequest(message, param="response_id")
    return stop_response(session, caller_id, response_id, kinds)


def stop_response(session: Session, caller_id: str, response_id: str, kinds: Jobs) -> bytes:
    """Do the same for any response that has a job, as for one whose caller has left."""
    found = store.find_response(session, caller_id, response_id)
    job = session.get(JobRow, found.job_id, with_for_update=True) if found.job_id else None
    row = session.get_one(ResponseRow, response_id, with_for_update=True, populate_existing=True)
    if row.status not in FINAL:
        end_response(session, row, {"status": "cancelled"})
        if job is not None and job.status not in jobs.FINAL:
            jobs.cancel_row(session, job, jobs.ended_by(kinds))
    return row.body


def delete_response(session: Session, caller_id: str, response_id: str, kinds: Jobs) -> None:
    """Delete a response with all that belongs to it; one that runs is cancelled before."""
    stop_response(session, caller_id, response_id, kinds)
    store.forget_response(session, caller_id, response_id)


def end_response(session: Session, row: ResponseRow, change: Json) -> None:
    """Give a response its final status; tell the caller's webhooks where no caller waits for it."""
    body = {**msgspec.json.decode(row.body), **change}
    row.body, row.status, row.request = encode_json(body), body["status"], None
    row.finished_at = time.time()
    conversations.end_turn(session, row)
    if row.background:
        outbox.enqueue_event(session, row.caller_id, f"response.{row.status}", row.id)


def job_ended(
    session: Session,
    job: JobRow,
    output: Callable[[Session, str], list[Json]] = lambda _session, _id: [],
) -> None:
    """End the response of a job that has ended without it: late, cancelled, or given up.

    `output` returns the items of a response that are whole.
    """
    response_id = Respond.model_validate(job.subject).response_id
    row = session.get(ResponseRow, response_id, with_for_update=True, populate_existing=True)
    if row is None or row.status in FINAL:
        return
    if job.status == "cancelled":
        end_response(session, row, {"status": "cancelled"})
        return
    translation = resumed(session, row, Relay)
    first_seq = translation.sequence
    error = ModelError(job.error_message or "The response did not end in its time.")
    events = translation.break_off() + translation.fail(error) + translation.last()
    event_log.append_events(session, row.id, first_seq, events)
    end_response(session, row, {**translation.response, "output": output(session, row.id)})


def resumed(session: Session, row: ResponseRow, translating: Callable[[Json], R]) -> R:
    """Return the translation that goes on where the events of an earlier attempt end."""
    response = {**msgspec.json.decode(row.body), "status": "in_progress", "output": []}
    translation = translating(response)
    for event in event_log.logged_events(session, row.id):
        translation.replay(event)
    return translation


class ResponseRun:
    """One attempt at a background response."""

    def __init__(self, run: Run, response_id: str, chat: ChatRequest, begun: Relay) -> None:
        self._model = run.model
        self._chat = chat
        self._translation = begun
        self._log = EventWriter(run, response_id, begun)

    async def answer(self, transcript: Transcript) -> None:
        """Ask the model and keep what it says in groups; end the response in one transaction."""
        translation, log = self._translation, self._log
        if translation.begun:
            log.add(translation.break_off())
        else:
            log.add(translation.progress())
            await log.write(begin_response, translation.response)
        try:
            await log.append_during(self._ask())
            log.add(translation.end())
        except LostRunError:
            raise
        except AppError as error:
            if error.retry_after is not None:
                await log.append()
                raise
            log.add(translation.fail(error))
        log.add(translation.last())
        await log.write(finish_response, translation.response, transcript)

    async def _ask(self) -> None:
        async with aclosing(self._model.stream(self._chat)) as chunks:
            async for chunk in chunks:
                self._log.add(self._translation.take(chunk))
                if chunk.usage:
                    self._translation.count(chunk.usage)


def begin_response(session: Session, group: EventGroup, response: Json) -> None:
    """Say that a worker has begun. Raise `LostRunError` where it has lost its job."""
    event_log.append_for_run(session, group)
    row = session.get_one(ResponseRow, group.response_id, with_for_update=True)
    row.status, row.body = response["status"], encode_json(response)


def finish_response(
    session: Session, group: EventGroup, response: Json, transcript: Transcript
) -> None:
    """Keep a response that has ended, its last events and the duty to tell of it, all at once.

    Raise `LostRunError` where the run has lost its job.
    """
    event_log.append_for_run(session, group)
    row = session.get_one(ResponseRow, response["id"], with_for_update=True)
    end_response(session, row, response)
    store.add_output(session, row, response, transcript)


async def respond(run: Run, subject: Respond) -> None:
    """Answer a background response, or nothing where it has ended or is deleted."""
    read = run.resources.database.read
    most_bytes = run.resources.settings.max_body_bytes
    begun = await read(begin_attempt, subject.response_id, most_bytes, Relay)
    if begun is not None:
        request, transcript, translation = begun
        chat, relay = await PendingResponse(request, transcript).begin(run.model)
        if relay is not Relay:
            translation = await read(begin_again, subject.response_id, relay)
        await ResponseRun(run, subject.response_id, chat, translation).answer(transcript)


def begin_again(session: Session, response_id: str, translating: Callable[[Json], R]) -> R:
    """Return the translation of an attempt that makes other events than most."""
    return resumed(session, session.get_one(ResponseRow, response_id), translating)


def begin_attempt(
    session: Session, response_id: str, most_bytes: int, translating: type[R]
) -> tuple[ResponseRequest, Transcript, R] | None:
    """Return all that an attempt needs, None where the response has ended or is deleted."""
    row = session.get(ResponseRow, response_id)
    if row is None or row.request is None or row.status in FINAL:
        return None
    request = ResponseRequest.model_validate_json(row.request)
    given = store.input_items(session, response_id)
    transcript = read_transcript(session, row.caller_id, row.previous_id, given, most_bytes)
    return request, transcript, resumed(session, row, translating)


RESPOND: Job[Respond] = Job("respond", Respond, respond, submittable=False, ended=job_ended)
