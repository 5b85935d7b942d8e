"""POST /v1/completions: goes on with a prompt, whole or streamed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import ModelAnswer
from app.dependencies.body import describe, json_body
from app.domain.completions import OPERATION, stream
from app.resources.models.interface import CompletionRequest

router = APIRouter(prefix="/v1", tags=["chat"])

CompletionBody = Annotated[CompletionRequest, Depends(json_body(CompletionRequest))]


@router.post("/completions", openapi_extra=describe(CompletionRequest))
async def complete(completion: CompletionBody, answer: ModelAnswer) -> Response:
    """Answer with a `text_completion`, or with its pieces where `stream` asks for them."""
    if completion.stream:
        return await answer.streamed(completion, stream(answer.resources, completion))
    return await answer.whole(OPERATION, completion)
