"""Runs of agents: each is a job, also for a caller who waits for its answer.

A run that its caller waits for asks the model as online callers do, a run in the background as
batches do; both have pools of their own.
"""

import msgspec
from sqlalchemy.orm import Session

from engine.agents import steps
from engine.agents.agent import Agent
from engine.agents.context import output_items
from engine.agents.events import AgentEvents
from engine.agents.loop import AgentRun
from engine.errors import NotFound, Unsupported
from engine.jobs.jobs import Job, Jobs
from engine.jobs.runs import Run
from engine.models.wire import Json
from engine.process.queue import Kind
from engine.resources import model_for
from engine.responses import background, store
from engine.responses.background import Respond
from engine.responses.schema import ResponseObject, ResponseRequest
from engine.responses.transcript import Transcript
from engine.slots.redis_semaphore import Priority
from engine.sql.tables import JobRow, ResponseRow


def refuse_for_agent(agent: Agent, request: ResponseRequest) -> None:
    """Raise `Unsupported` for a field with which a caller would change the agent."""
    form = request.text.format if request.text else None
    changes = {
        "tools": request.tools,
        "tool_choice": request.tool_choice != "auto",
        "text.format": agent.output and form,
    }
    for param, changed in changes.items():
        if changed:
            message = f"Unsupported parameter: '{param}'. The agent {agent.name} has its own."
            raise Unsupported(message, param=param)


def start_run(
    session: Session,
    caller_id: str,
    request: ResponseRequest,
    transcript: Transcript,
    *,
    request_id: str,
    traceparent: str | None,
) -> ResponseObject:
    """Record a run with its job and the human's answers to calls: from here on it is not lost.

    Raise `InvalidRequest` for an answer to a call that waits for none.
    """
    started = background.start_response(
        session,
        caller_id,
        request,
        transcript,
        request_id=request_id,
        traceparent=traceparent,
        kind=kind_of_run(request),
    )
    row = session.get_one(ResponseRow, started.id)
    steps.take_approvals(session, caller_id, row, transcript)
    return started


def kind_of_run(request: ResponseRequest) -> Job[Respond]:
    """Return the kind of job that answers a request."""
    return BACKGROUND_RUN if request.background else AWAITED_RUN


def leave_run(session: Session, caller_id: str, response_id: str, kinds: Jobs) -> None:
    """Cancel a run whose caller waits no more, and forget it where it is not to be stored."""
    body = background.stop_response(session, caller_id, response_id, kinds)
    if not msgspec.json.decode(body)["store"]:
        store.forget_response(session, caller_id, response_id)


def run_ended(session: Session, job: JobRow) -> None:
    """End the response of a run that has ended without it, with the items of its whole steps."""
    background.job_ended(session, job, _whole_items)


def _whole_items(session: Session, response_id: str) -> list[Json]:
    agent = session.get_one(ResponseRow, response_id).model
    return output_items(steps.read_steps(session, response_id), agent)


async def run_agent(run: Run, subject: Respond) -> None:
    """Go on with a run, or do nothing where it has ended or is deleted."""
    resources = run.resources
    most_bytes = resources.settings.max_body_bytes
    read = resources.database.read
    begun = await read(background.begin_attempt, subject.response_id, most_bytes, AgentEvents)
    if begun is None:
        return
    request, transcript, events = begun
    agent = resources.agents.get(request.model)
    if agent is None:
        raise NotFound(f"There is no agent {request.model} any more.")
    priority = Priority.BATCH if request.background else Priority.ONLINE
    model = model_for(resources, run.caller_id or "", priority)
    await AgentRun(run, model, agent, request, transcript, events).answer()


AWAITED_RUN: Job[Respond] = Job(
    "agent", Respond, run_agent, submittable=False, ended=run_ended, pool=Kind.AGENTS
)
BACKGROUND_RUN: Job[Respond] = Job(
    "background_agent",
    Respond,
    run_agent,
    attempts=10,  # no caller waits, and the run has a limit of time
    submittable=False,
    ended=run_ended,
    pool=Kind.BACKGROUND_AGENTS,
)
