"""POST /v1/chat/completions: answers a conversation, whole or streamed."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel

from app.api.agents import AgentCall
from app.api.answering import TokenUsage, answer_streamed, answer_whole
from app.dependencies.body import describe_body, json_body
from app.dependencies.database import CallersRows
from app.dependencies.model import CallersModel
from app.dependencies.resources import Shared
from engine.agents.agent import agent_for_callers
from engine.models.interface import ChatRequest, Message
from engine.operations.operation import CHAT

router = APIRouter(prefix="/v1", tags=["chat"])

ChatBody = Annotated[ChatRequest, Depends(json_body(ChatRequest))]

EXAMPLE = {
    "model": "chat-model",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


class Choice(BaseModel):
    """One answer."""

    index: int
    message: Message
    finish_reason: str
    logprobs: dict[str, Any] | None


class ChatCompletion(BaseModel):
    """OpenAI's answer to a conversation, for the schema only: providers give bytes."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: TokenUsage


@router.post(
    "/chat/completions",
    openapi_extra=describe_body(ChatRequest, EXAMPLE),
    responses={200: {"model": ChatCompletion, "content": {"text/event-stream": {}}}},
)
async def complete(
    chat: ChatBody, model: CallersModel, rows: CallersRows, shared: Shared
) -> Response:
    """Answer with a `chat.completion`, or with its chunks where `stream` asks for them."""
    if agent := agent_for_callers(shared.agents, chat.model, model.flags):
        return await AgentCall(agent, model, rows, shared).answer_chat(chat)
    if chat.stream:
        return await answer_streamed(model, model.stream(chat))
    return await answer_whole(model, CHAT, chat)
