"""Answers a response: asks the model bound to its caller; keeps the answer where it is asked to."""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from pydantic import model_validator

from engine.errors import AppError, ModelError
from engine.models.interface import Answer, ChatRequest, Chunk
from engine.models.wire import Json, encode_json
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operation, refuse_agent
from engine.responses.hosted_tools import (
    ground_response,
    refuse_hosted_tools,
    without_tools_run_here,
)
from engine.responses.native import Relay, response_chat
from engine.responses.schema import (
    ResponseRequest,
    new_response,
    refuse_unsupported,
)
from engine.responses.transcript import Transcript

log = logging.getLogger(__name__)

BROKE_OFF = "The answer broke off."


@dataclass(frozen=True, slots=True)
class PendingResponse:
    """A response that is to be answered. `save` keeps it as it ends."""

    request: ResponseRequest
    transcript: Transcript
    save: Callable[[Json], Awaitable[None]] | None = None

    def chat(self, caller_id: str, asked: ResponseRequest | None = None) -> ChatRequest:
        """Return the chat that gives the answer, by the request or the one that is asked for it."""
        asked = asked or without_tools_run_here(self.request)
        return response_chat(asked, self.items, len(self.transcript.history), caller_id)

    async def begin(self, model: BoundModel) -> tuple[ChatRequest, Callable[[Json], Relay]]:
        """Run the tools that run here; return the chat, and what makes events of its answer."""
        grounding = await ground_response(model, self.request, self.items)
        return self.chat(model.caller_id, grounding.request), grounding.relay

    @property
    def items(self) -> list[Json]:
        """All that the model reads."""
        return [*self.transcript.history, *self.transcript.given]


async def answer_response(model: BoundModel, pending: PendingResponse) -> Answer:
    """Return a response as a whole. It is kept before it is returned."""
    chat, relay = await pending.begin(model)
    answer = await model.complete(chat)
    translation = relay(new_response(pending.request))
    translation.take_whole(answer)
    translation.count(answer.usage)
    translation.end()
    if pending.save:
        await pending.save(translation.response)
    return Answer(encode_json(translation.response), answer.usage)


async def stream_response(
    model: BoundModel, pending: PendingResponse
) -> AsyncGenerator[Chunk, None]:
    """Yield the events of a response. It is kept before the last event.

    An error before the first event is raised; a later one ends the response as failed.
    """
    chat, relay = await pending.begin(model)
    translation = relay(new_response(pending.request))
    try:
        async with aclosing(model.stream(chat)) as chunks:
            async for chunk in chunks:
                begun = b"" if translation.sequence else translation.begin()
                if events := begun + translation.take(chunk):
                    yield Chunk(events)
                if chunk.usage:
                    translation.count(chunk.usage)
        ending = translation.end()
        if pending.save:
            await pending.save(translation.response)
    except Exception as error:
        if not translation.sequence:
            raise
        ending = translation.fail(told(error))
        if pending.save:
            with suppress(AppError):  # the database itself may have failed
                await pending.save(translation.response)
    yield Chunk(ending + translation.last())


def told(error: Exception) -> AppError:
    """Return the error that a caller is told of; one that is not the caller's to see is logged."""
    if isinstance(error, AppError):
        return error
    log.error("a response failed", exc_info=error)
    return ModelError(BROKE_OFF)


class BatchedResponse(ResponseRequest):
    """The body of a line of a batch, whose answer is its item and nothing more."""

    store: bool = False

    @model_validator(mode="after")
    def _is_alone(self) -> "BatchedResponse":
        for field in ("background", "conversation", "previous_response_id", "store", "stream"):
            if getattr(self, field):
                raise ValueError(f"a line of a batch has no `{field}`")
        refuse_unsupported(self)
        return self


async def _respond(model: BoundModel, request: BatchedResponse) -> Answer:
    refuse_agent(model, request.model)
    refuse_hosted_tools(request, model.resources.settings.responses_hosted_tools)
    return await answer_response(model, PendingResponse(request, Transcript([], request.items, [])))


RESPONSES = Operation("/v1/responses", BatchedResponse, _respond)
