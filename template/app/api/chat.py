"""POST /v1/chat/completions: answers a conversation, whole or streamed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.api.answering import ModelAnswer
from app.dependencies.body import describe, json_body
from app.domain.operations import CHAT
from app.resources.models.interface import ChatRequest

router = APIRouter(prefix="/v1", tags=["chat"])

ChatBody = Annotated[ChatRequest, Depends(json_body(ChatRequest))]


@router.post("/chat/completions", openapi_extra=describe(ChatRequest))
async def complete(chat: ChatBody, answer: ModelAnswer) -> Response:
    """Answer with a `chat.completion`, or with its chunks where `stream` asks for them."""
    if chat.stream:
        return await answer.streamed(chat, answer.resources.model.stream(chat))
    return await answer.whole(CHAT, chat)
