"""POST /v1/responses: OpenAI's newer way to ask a model, with a state that is kept here."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import AliasChoices, BaseModel, Field

from app.api.agents import AgentCall
from app.api.answering import answer_streamed
from app.api.errors import failures
from app.api.streaming import EventStream
from app.dependencies.body import describe_body, json_body
from app.dependencies.caller import CurrentCaller
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.idempotency import Once, OnceDatabase
from app.dependencies.model import CallersModel, RequestModel, until_disconnect
from app.dependencies.resources import Shared
from app.dependencies.stream_slots import hold_stream
from app.resources.lifespan import Resources
from engine.agents.agent import agent_for_callers
from engine.agents.history import StepObject, page_of_steps
from engine.errors import NotFound
from engine.models.wire import Json
from engine.process.queue import Kind
from engine.responses import background, conversations, event_log, item_pages, store
from engine.responses.answering import PendingResponse, answer_response, stream_response
from engine.responses.event_log import Replay
from engine.responses.hosted_tools import check_stores, has_tools_run_here, refuse_hosted_tools
from engine.responses.schema import (
    ResponseObject,
    ResponseRequest,
    refuse_unsupported,
)
from engine.responses.transcript import Transcript
from engine.sql.pagination import Page, PageQuery
from engine.watch import telemetry

router = APIRouter(prefix="/v1/responses", tags=["responses"])

ResponseBody = Annotated[ResponseRequest, Depends(json_body(ResponseRequest))]

EXAMPLE = {"model": "chat-model", "input": "What is the capital of France?"}


class InputTokens(BaseModel):
    """An estimate of the tokens of an input, by OpenAI's cl100k_base."""

    object: str = "response.input_tokens"
    input_tokens: int


class DeletedResponse(BaseModel):
    """The answer to a deletion."""

    id: str
    object: str = "response"
    deleted: bool = True


SHOWN: dict[int | str, dict[str, Any]] = {
    200: {"model": ResponseObject, "content": {"text/event-stream": {}}}
}


@router.post("", openapi_extra=describe_body(ResponseRequest, EXAMPLE), responses=SHOWN)
async def create_response(
    body: ResponseBody, model: CallersModel, rows: CallersRows, once: Once, shared: Shared
) -> Response:
    """Answer with a response, or with its events where `stream` asks for them.

    A response in the background is answered at once, by its worker later; see `GET`.
    """
    pending = await prepared(body, rows, shared)
    if agent := agent_for_callers(shared.agents, body.model, model.flags):
        call = AgentCall(agent, model, once, shared)
        if not body.background:
            return await call.answer(body, pending.transcript)
        started = await call.start(body, pending.transcript)
    elif body.background:
        started = await start_in_background(body, pending, model, once, shared)
    elif body.stream:
        return await answer_streamed(model, stream_response(model.bound, pending), last=b"")
    else:
        answer = await until_disconnect(model.request, answer_response(model.bound, pending))
        return Response(answer.body, media_type="application/json", headers=model.headers)
    if body.stream:
        return followed(rows, shared, started.id, -1, model.headers)
    whole = started.model_dump_json()
    return Response(whole, media_type="application/json", headers=model.headers)


async def start_in_background(
    body: ResponseRequest,
    pending: PendingResponse,
    model: RequestModel,
    once: OnceDatabase,
    shared: Resources,
) -> ResponseObject:
    """Record a response with its job, and wake a worker."""
    model.bound.require_provider(pending.chat(model.bound.caller_id))
    if body.stream:
        hold_stream(model.request.state.on_finish, shared)
    started = await once.write(
        background.start_response,
        body,
        pending.transcript,
        request_id=telemetry.request_id.get(),
        traceparent=telemetry.traceparent.get(),
    )
    await shared.queue.wake(Kind.JOBS)
    return started


@router.get("", include_in_schema=False)
async def refuse_websocket(_caller: CurrentCaller) -> None:
    """Tell a client that would open a WebSocket here to send its requests by POST."""
    raise HTTPException(426, "There is no WebSocket here: send each request by POST.")


@router.post("/input_tokens", openapi_extra=describe_body(ResponseRequest, EXAMPLE))
async def count_input_tokens(
    body: ResponseBody, model: CallersModel, rows: CallersRows, shared: Shared
) -> InputTokens:
    """Return an estimate of the tokens that the model would read."""
    pending = await prepared(body, rows, shared)
    chat, _ = await pending.begin(model.bound)
    asked = chat.model_dump_json(include={"messages", "tools"}, exclude_none=True)
    return InputTokens(input_tokens=await model.bound.tokenizer.count(asked))


class ResponseQuery(BaseModel):
    """Query of `GET /v1/responses/{id}`: the events after a number, where `stream` asks for them.

    `include` has nothing to add, and no event is padded.
    """

    stream: bool = False
    starting_after: int = Field(default=-1, ge=-1)
    include: list[str] = Field(default=[], validation_alias=AliasChoices("include", "include[]"))
    include_obfuscation: bool = False


@router.get("/{response_id}", responses=SHOWN | failures(NotFound))
async def get_response(
    request: Request,
    response_id: str,
    rows: CallersRows,
    shared: Shared,
    query: Annotated[ResponseQuery, Query()],
) -> Response:
    """Return a stored response, or the events of a background one after a number."""
    if query.stream:
        await rows.read(event_log.replay_events, response_id, query.starting_after)
        hold_stream(request.state.on_finish, shared)
        return followed(rows, shared, response_id, query.starting_after, {})
    found = await rows.read(store.find_response, response_id)
    return Response(found.body, media_type="application/json")


@router.delete("/{response_id}", responses=failures(NotFound))
async def delete_response(response_id: str, rows: CallersRows, shared: Shared) -> DeletedResponse:
    """Delete a response with its items. Responses that continue it can no longer be continued."""
    await rows.write(background.delete_response, response_id, shared.jobs)
    return DeletedResponse(id=response_id)


@router.post("/{response_id}/cancel", responses=failures(NotFound))
async def cancel_response(response_id: str, rows: CallersRows, shared: Shared) -> Response:
    """Cancel a background response. One that has ended is returned as it is."""
    body = await rows.write(background.cancel_response, response_id, shared.jobs)
    await shared.news.tell(response_id)
    await shared.queue.wake(Kind.WEBHOOKS)
    return Response(body, media_type="application/json")


@router.get("/{response_id}/input_items", responses=failures(NotFound))
async def list_input_items(
    response_id: str, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[Json]:
    """List the items of a response's own input, the newest first."""
    return await rows.read(item_pages.page_of_input_items, response_id, query)


@router.get("/{response_id}/steps", responses=failures(NotFound))
async def list_steps(
    response_id: str, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> Page[StepObject]:
    """List the steps of an agent, the newest first; a response of a model has none."""
    return await rows.read(page_of_steps, response_id, query)


async def prepared(body: ResponseRequest, rows: CallerDatabase, shared: Shared) -> PendingResponse:
    """Return the response to answer, with the items of the chain that it continues.

    Raise `Unsupported` for a field or a tool that cannot be honoured, and in the
    background `NotFound` for a store that the caller has not.
    """
    refuse_unsupported(body)
    refuse_hosted_tools(body, shared.settings.responses_hosted_tools)
    if body.background and has_tools_run_here(body):
        await rows.read(check_stores, body)
    transcript = Transcript.alone(body.items)
    if body.conversation or body.previous_response_id or transcript.has_references:
        most = shared.settings.max_body_bytes
        transcript = await rows.read(conversations.read_turn, body, most)

    async def save(response: Json) -> None:
        await rows.write(conversations.save_turn, response, transcript)

    return PendingResponse(body, transcript, save if body.store or body.conversation else None)


def followed(
    rows: CallerDatabase, shared: Shared, response_id: str, after: int, headers: Mapping[str, str]
) -> EventStream:
    """Return the events of a background response after a number, as they come."""

    async def replay(after: int) -> Replay:
        return await rows.read(event_log.replay_events, response_id, after)

    stopping = shared.drain.begun
    events = event_log.follow_events(replay, shared.news, response_id, after, stopping)
    return EventStream(events, headers)
