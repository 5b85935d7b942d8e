"""POST /v1/responses: OpenAI's newer way to ask a model, with a state that is kept here."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from app.api.answering import answer_streamed
from app.api.errors import failures
from app.dependencies.body import describe_body, json_body
from app.dependencies.database import CallerDatabase, CallersRows
from app.dependencies.disconnect import until_disconnect
from app.dependencies.model import CallersModel
from app.dependencies.resources import Shared
from engine.errors import NotFound
from engine.models.wire import Json
from engine.resources import Resources
from engine.responses import store
from engine.responses.answering import Task, answer_response, stream_response
from engine.responses.schema import ResponseRequest, refuse_unsupported
from engine.responses.store import Turn
from engine.sql.pagination import PageQuery

router = APIRouter(prefix="/v1/responses", tags=["responses"])

ResponseBody = Annotated[ResponseRequest, Depends(json_body(ResponseRequest))]

EXAMPLE = {"model": "chat-model", "input": "What is the capital of France?"}

DAY = 86_400.0


class ResponseObject(BaseModel):
    """OpenAI's response, for the schema only."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: str
    created_at: int
    status: str
    model: str
    output: list[dict[str, Any]]


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
    body: ResponseBody, model: CallersModel, rows: CallersRows, shared: Shared
) -> Response:
    """Answer with a response, or with its events where `stream` asks for them."""
    refuse_unsupported(body, shared.settings.responses_hosted_tools)
    task = await prepared(body, rows, shared)
    if body.stream:
        return await answer_streamed(model, stream_response(model.bound, task), last=b"")
    answer = await until_disconnect(model.request, answer_response(model.bound, task))
    return Response(answer.body, media_type="application/json", headers=model.headers)


@router.post("/input_tokens", openapi_extra=describe_body(ResponseRequest, EXAMPLE))
async def count_input_tokens(
    body: ResponseBody, model: CallersModel, rows: CallersRows, shared: Shared
) -> InputTokens:
    """Return an estimate of the tokens that the model would read."""
    refuse_unsupported(body, shared.settings.responses_hosted_tools)
    task = await prepared(body, rows, shared)
    chat = task.chat(model.bound.caller_id)
    asked = chat.model_dump_json(include={"messages", "tools"}, exclude_none=True)
    return InputTokens(input_tokens=await model.bound.tokenizer.count(asked))


@router.get("/{response_id}", responses=SHOWN | failures(NotFound))
async def get_response(response_id: str, rows: CallersRows) -> Response:
    """Return a stored response."""
    found = await rows.read(store.read_response, response_id)
    return Response(found.body, media_type="application/json")


@router.delete("/{response_id}", responses=failures(NotFound))
async def delete_response(response_id: str, rows: CallersRows) -> DeletedResponse:
    """Delete a response with its items. Responses that continue it can no longer be continued."""
    await rows.write(store.delete_response, response_id)
    return DeletedResponse(id=response_id)


@router.get("/{response_id}/input_items", responses=failures(NotFound))
async def list_input_items(
    response_id: str, rows: CallersRows, query: Annotated[PageQuery, Query()]
) -> dict[str, Any]:
    """List the items of a response's own input, the newest first."""
    return await rows.read(store.page_of_input_items, response_id, query)


async def prepared(body: ResponseRequest, rows: CallerDatabase, shared: Resources) -> Task:
    """Return the response to answer, with the items of the chain that it continues."""
    turn = Turn.alone(body.items)
    if body.previous_response_id or turn.has_references:
        most = shared.settings.max_body_bytes
        turn = await rows.read(store.read_turn, body.previous_response_id, body.items, most)

    async def save(response: Json) -> None:
        keep_seconds = shared.settings.keep_days * DAY
        await rows.write(store.save_response, response, turn, keep_seconds)

    return Task(body, turn, save if body.store else None)
