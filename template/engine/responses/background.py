"""Background responses: each is a job, which a worker runs while its readers come and go.

A response begins in one transaction with its job and its first events, and ends in one with its
items, its last events and the duty to tell webhooks. A killed worker's answer is asked for again:
the half item is closed in the events, and the response has the items of the last attempt only.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Concatenate, ParamSpec, TypeAlias

import msgspec
from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.errors import AppError, InvalidRequest, ModelError
from engine.jobs import jobs
from engine.jobs.jobs import Job, Jobs
from engine.jobs.runs import LostRunError, Run
from engine.models.interface import ChatRequest
from engine.models.wire import Json, encode_json
from engine.process.tasks import end_tasks
from engine.responses import conversations, event_log, store
from engine.responses.answering import PendingResponse
from engine.responses.event_log import EventGroup
from engine.responses.native import Relay
from engine.responses.schema import FINAL, ResponseObject, ResponseRequest, new_response
from engine.responses.store import Transcript
from engine.sql.tables import JobRow, ResponseRow
from engine.work import outbox

GROUP_SECONDS = 0.1
"""Seconds between two groups of events: 1,000 one by one cost SQLite 17 ms, in groups of 20 2.6."""


P = ParamSpec("P")
Step: TypeAlias = Callable[Concatenate[Session, EventGroup, P], None]


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
) -> ResponseObject:
    """Record a response with its job and its first events: from here on it is not lost."""
    response = {**new_response(request), "status": "queued"}
    job = jobs.submit_job(
        session,
        caller_id,
        RESPOND,
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
    found = store.find_response(session, caller_id, response_id)
    if not found.background:
        message = "Only background responses can be cancelled."
        raise InvalidRequest(message, param="response_id")
    job = session.get(JobRow, found.job_id, with_for_update=True) if found.job_id else None
    row = session.get_one(ResponseRow, response_id, with_for_update=True, populate_existing=True)
    if row.status not in FINAL:
        end_response(session, row, {"status": "cancelled"})
        if job is not None and job.status not in jobs.FINAL:
            jobs.cancel_row(session, job, jobs.ended_by(kinds))
    return row.body


def delete_response(session: Session, caller_id: str, response_id: str, kinds: Jobs) -> None:
    """Delete a response with all that belongs to it; one that runs is cancelled before."""
    if store.find_response(session, caller_id, response_id).background:
        cancel_response(session, caller_id, response_id, kinds)
    store.forget_response(session, caller_id, response_id)


def end_response(session: Session, row: ResponseRow, change: Json) -> None:
    """Give a response its final status, and tell the caller's webhooks."""
    body = {**msgspec.json.decode(row.body), **change}
    row.body, row.status, row.request = encode_json(body), body["status"], None
    row.finished_at = time.time()
    conversations.end_turn(session, row)
    outbox.enqueue_event(session, row.caller_id, f"response.{row.status}", row.id)


def job_ended(session: Session, job: JobRow) -> None:
    """End the response of a job that has ended without it: late, cancelled, or given up."""
    response_id = Respond.model_validate(job.subject).response_id
    row = session.get(ResponseRow, response_id, with_for_update=True, populate_existing=True)
    if row is None or row.status in FINAL:
        return
    if job.status == "cancelled":
        end_response(session, row, {"status": "cancelled"})
        return
    translation = resumed(session, row)
    first_seq = translation.sequence
    error = ModelError(job.error_message or "The response did not end in its time.")
    events = translation.break_off() + translation.fail(error) + translation.last()
    event_log.append_events(session, row.id, first_seq, events)
    end_response(session, row, {**translation.response, "output": []})


def resumed(session: Session, row: ResponseRow) -> Relay:
    """Return the translation that goes on where the events of an earlier attempt end."""
    response = {**msgspec.json.decode(row.body), "status": "in_progress", "output": []}
    translation = Relay(response)
    for event in event_log.logged_events(session, row.id):
        translation.replay(event)
    return translation


class ResponseRun:
    """One attempt at a background response."""

    def __init__(self, run: Run, response_id: str, chat: ChatRequest, begun: Relay) -> None:
        self._run = run
        self._response_id = response_id
        self._chat = chat
        self._translation = begun
        self._first_seq = begun.sequence
        self._events = b""
        self._fresh = asyncio.Event()

    async def answer(self, transcript: Transcript) -> None:
        """Ask the model and keep what it says in groups; end the response in one transaction."""
        translation = self._translation
        if translation.begun:
            self._add(translation.break_off())
        else:
            self._add(translation.progress())
            await self._write(begin_response, translation.response)
        asking = asyncio.create_task(self._ask())
        asking.add_done_callback(lambda _: self._fresh.set())
        try:
            while not asking.done():
                await self._fresh.wait()
                await self._append()
                await asyncio.wait({asking}, timeout=GROUP_SECONDS)
            asking.result()
            self._add(translation.end())
        except LostRunError:
            raise
        except AppError as error:
            if error.retry_after is not None:
                await self._append()
                raise
            self._add(translation.fail(error))
        finally:
            await end_tasks(asking)
        self._add(translation.last())
        await self._write(finish_response, translation.response, transcript)

    async def _ask(self) -> None:
        async with aclosing(self._run.model.stream(self._chat)) as chunks:
            async for chunk in chunks:
                self._add(self._translation.take(chunk))
                if chunk.usage:
                    self._translation.count(chunk.usage)

    def _add(self, events: bytes) -> None:
        self._events += events
        if self._events:
            self._fresh.set()

    def _taken(self) -> tuple[int, bytes]:
        first_seq, events = self._first_seq, self._events
        self._first_seq, self._events = self._translation.sequence, b""
        self._fresh.clear()
        return first_seq, events

    async def _append(self) -> None:
        if self._events:
            await self._write(event_log.append_for_run)

    async def _write(self, fn: Step[P], /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Keep the events so far in the transaction `fn`, and wake their readers."""
        first_seq, events = self._first_seq, self._events
        self._first_seq, self._events = self._translation.sequence, b""
        self._fresh.clear()
        group = EventGroup(self._run.id, self._run.owner, self._response_id, first_seq, events)
        await self._run.resources.database.write(fn, group, *args, **kwargs)
        await self._run.resources.news.tell(self._response_id)


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
    begun = await read(begin_attempt, subject.response_id, most_bytes)
    if begun is not None:
        request, transcript, translation = begun
        chat = PendingResponse(request, transcript).chat(run.model.caller_id)
        await ResponseRun(run, subject.response_id, chat, translation).answer(transcript)


def begin_attempt(
    session: Session, response_id: str, most_bytes: int
) -> tuple[ResponseRequest, Transcript, Relay] | None:
    """Return all that an attempt needs, None where the response has ended or is deleted."""
    row = session.get(ResponseRow, response_id)
    if row is None or row.request is None or row.status in FINAL:
        return None
    request = ResponseRequest.model_validate_json(row.request)
    given = store.input_items(session, response_id)
    transcript = store.read_transcript(session, row.caller_id, row.previous_id, given, most_bytes)
    return request, transcript, resumed(session, row)


RESPOND: Job[Respond] = Job("respond", Respond, respond, submittable=False, ended=job_ended)
