"""The body of `POST /v1/responses`, and the response as its caller reads it.

A field that changes the answer and cannot be honoured is refused by its name; a field that only
tunes it is passed on, or echoed.
"""

import time
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.body import NO_NUL
from engine.errors import InvalidRequest, Unsupported
from engine.models.interface import Count, ModelRequest, Part
from engine.models.wire import Json
from engine.sql.statements import new_id

MOST_ITEMS = 10_000

FINAL = ("completed", "incomplete", "failed", "cancelled")
CONTINUED = ("completed", "incomplete")
"""States of a response that the next one may continue."""

HIDDEN = "hidden"
"""State of a link of a conversation that no caller reads as a response: items that were added, or a
response that was deleted or was not to be stored."""

REFUSED: dict[str, tuple[object, ...]] = {
    "access_programs": (),
    "background_options": ({}, {"completion_window": "soonest"}),
    "context_management": ([],),
    "image": (),
    "moderation": (),
    "n": (1,),
    "prompt": (),
    "truncation": ("disabled",),
}
"""Fields that name an object at OpenAI, cost extra or change the answer, each with the values that
ask for nothing."""

MISSED: dict[str, Json] = {
    "input_image": {"detail": "auto"},
    "output_text": {"annotations": [], "logprobs": []},
}
"""Fields of parts that a caller may leave out and a client looks for, by the type of the part."""

MOVED = {
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""Fields of a chat that have other names in a response."""

Includable = Literal[
    "code_interpreter_call.outputs",
    "computer_call_output.output.image_url",
    "file_search_call.results",
    "message.input_image.image_url",
    "message.output_text.logprobs",
    "reasoning.encrypted_content",
    "web_search_call.action.sources",
    "web_search_call.results",
]
"""Additions that a caller can ask for. Most have nothing to add here."""

ConversationId = Annotated[str, Field(min_length=1, max_length=64, pattern=NO_NUL)]
Label = Annotated[str, Field(max_length=64)]
Value = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[Label, Value], Field(max_length=16)]


class Reasoning(Part):
    """How much the model thinks before it answers."""

    effort: str | None = None
    summary: str | None = None


class TextOptions(Part):
    """The format and length of the answer's text."""

    format: dict[str, Any] | None = None
    verbosity: str | None = None


class ConversationReference(Part):
    """A conversation as an object."""

    id: ConversationId


class ResponseStreamOptions(Part):
    """Options of a streamed response; padding against eavesdroppers is never added."""

    include_obfuscation: bool = False


class ResponseRequest(ModelRequest):
    """Body of `POST /v1/responses`."""

    input: str | Annotated[list[Json], Field(max_length=MOST_ITEMS)] = Field(default_factory=list)
    instructions: str | None = None
    previous_response_id: Annotated[str, Field(max_length=64, pattern=NO_NUL)] | None = None
    conversation: ConversationId | ConversationReference | None = None
    store: bool = True
    background: bool = False
    stream: bool = False
    stream_options: ResponseStreamOptions | None = None
    tools: list[Json] = Field(default_factory=list)
    tool_choice: str | dict[str, Any] = "auto"
    parallel_tool_calls: bool = True
    max_tool_calls: Count | None = None
    max_output_tokens: Count | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    reasoning: Reasoning | None = None
    text: TextOptions | None = None
    include: list[Includable] = Field(default_factory=list)
    metadata: Metadata = Field(default_factory=dict)
    safety_identifier: Annotated[str, Field(max_length=128)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    truncation: Literal["auto", "disabled"] = "disabled"
    background_options: dict[str, Any] | None = None

    @property
    def items(self) -> list[Json]:
        """The input as items: a text is one message of the user."""
        if isinstance(self.input, str):
            return [{"type": "message", "role": "user", "content": self.input}]
        return self.input

    @property
    def conversation_id(self) -> str | None:
        """The conversation whose next turn this is."""
        named = self.conversation
        return named.id if isinstance(named, ConversationReference) else named


class ResponseObject(BaseModel):
    """A response as its caller reads it; `new_response` has the fields that stand beside these."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: str
    model: str
    output: list[Json]


def refuse_unsupported(request: ResponseRequest) -> None:
    """Raise `Unsupported` for a field that nothing here can honour."""
    for field in sorted(MOVED.keys() & request.model_fields_set):
        message = f"Unsupported parameter: '{field}'. A response has '{MOVED[field]}' for it."
        raise Unsupported(message, param=field)
    for field in sorted(REFUSED.keys() & request.model_fields_set):
        value = getattr(request, field)
        if value is not None and value not in REFUSED[field]:
            message = f"Unsupported parameter: '{field}' is not supported here."
            raise Unsupported(message, param=field)
    if request.conversation and request.previous_response_id:
        message = "A conversation goes on at its end: leave `previous_response_id` out."
        raise InvalidRequest(message, param="previous_response_id")
    if request.background and not request.store:
        message = "A background response is stored: leave `store` out, or set it to true."
        raise InvalidRequest(message, param="store")


NOT_YET = dict.fromkeys(("completed_at", "error", "incomplete_details", "usage"))
NO_PENALTIES = {"presence_penalty": 0.0, "frequency_penalty": 0.0}


def new_response(request: ResponseRequest) -> Json:
    """Return the response to a request before its answer begins, with all of OpenAI's fields.

    Open Responses (https://www.openresponses.org) requires each of them in every response.
    """
    text = request.text or TextOptions()
    reasoning = request.reasoning or Reasoning()
    return {
        **NOT_YET,
        "id": new_id("resp"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "model": request.model,
        "output": [],
        "previous_response_id": request.previous_response_id,
        "conversation": request.conversation_id and {"id": request.conversation_id},
        "instructions": request.instructions,
        "store": request.store,
        "background": request.background,
        "tools": [echoed_tool(tool) for tool in request.tools],
        "tool_choice": request.tool_choice,
        "parallel_tool_calls": request.parallel_tool_calls,
        "max_tool_calls": request.max_tool_calls,
        "max_output_tokens": request.max_output_tokens,
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "top_logprobs": request.top_logprobs or 0,
        **NO_PENALTIES,
        "reasoning": reasoning.model_dump(),
        "text": {"format": {"type": "text"}, **text.model_dump(exclude_none=True)},
        "truncation": "disabled",
        "metadata": request.metadata,
        "user": request.user,
        "safety_identifier": request.safety_identifier,
        "prompt_cache_key": request.prompt_cache_key,
        "service_tier": request.service_tier or "default",
    }


def echoed_tool(tool: Json) -> Json:
    """Return a tool with all the fields that clients look for in a function."""
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


def echoed_item(item: Json) -> Json:
    """Return an item of an input with all the fields that clients look for."""
    told = {**item, "status": item.get("status") or "completed"}
    if item["type"] == "message":
        content, kind = item.get("content"), "input_text"
        if item.get("role") == "assistant":
            kind = "output_text"
        parts = content if isinstance(content, list) else [{"type": kind, "text": content}]
        told["content"] = [
            {**MISSED.get(str(part.get("type")), {}), **part} if isinstance(part, dict) else part
            for part in parts
        ]
    return told
