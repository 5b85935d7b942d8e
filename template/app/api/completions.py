"""POST /v1/completions: goes on with a prompt, whole or streamed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.answering import TokenUsage, answer_streamed, answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.model import CallersModel
from engine.models.interface import CompletionRequest
from engine.operations.completions import COMPLETIONS, stream_prompts

router = APIRouter(prefix="/v1", tags=["chat"])

CompletionBody = Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]


EXAMPLE = {"model": "chat-model", "prompt": "The capital of France is"}


class TextChoice(BaseModel):
    """One continuation of a prompt."""

    index: int
    text: str
    finish_reason: str
    logprobs: dict[str, Any] | None


class TextCompletion(BaseModel):
    """OpenAI's answer to prompts, for the schema only: providers give bytes."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[TextChoice]
    usage: TokenUsage


@router.post(
    "/completions",
    openapi_extra=describe_body(CompletionRequest, EXAMPLE),
    responses={200: {"model": TextCompletion, "content": {"text/event-stream": {}}}},
)
async def complete(completion: CompletionBody, model: CallersModel) -> Response:
    """Answer with a `text_completion`, or with its pieces where `stream` asks for them."""
    if completion.stream:
        return await answer_streamed(model, stream_prompts(model.bound, completion))
    return await answer_whole(model, COMPLETIONS, completion)
