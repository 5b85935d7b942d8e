"""Answers of a model, whole or streamed, as OpenAI's clients read them."""

from collections.abc import AsyncGenerator
from typing import TypeVar

from fastapi import Response
from pydantic import BaseModel

from app.api.streaming import EventStream
from app.dependencies.model import RequestModel, until_disconnect
from app.dependencies.resources import opened
from app.dependencies.stream_slots import hold_stream
from engine.errors import ModelUnavailable
from engine.models.interface import Chunk
from engine.operations.operation import Operation

B = TypeVar("B", bound=BaseModel)


DONE = b"data: [DONE]\n\n"
"""OpenAI's last event of a whole answer."""


class TokenUsage(BaseModel):
    """OpenAI's `usage`, of which embeddings have no `completion_tokens`."""

    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


async def answer_whole(model: RequestModel, operation: Operation[B], body: B) -> Response:
    """Return the answer of an operation. Raise `PermissionDenied` where its flag is lacking."""
    operation.permit(model.flags)
    model.bound.counted_as = operation.model_of(body)
    answer = await until_disconnect(model.request, operation.run(model.bound, body))
    return Response(answer.body, media_type="application/json", headers=model.headers)


async def answer_streamed(
    model: RequestModel, chunks: AsyncGenerator[Chunk, None], last: bytes = DONE
) -> Response:
    """Return chunks and `last` as server-sent events. An error before them is a plain answer."""
    request = model.request
    hold_stream(request.state.on_finish, opened(request))
    first = await until_disconnect(request, _first(chunks))
    return EventStream(chunks, model.headers, first, last)


async def _first(chunks: AsyncGenerator[Chunk, None]) -> Chunk:
    async for chunk in chunks:
        return chunk
    raise ModelUnavailable("The model ended its answer before it began.")
