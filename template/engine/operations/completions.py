"""The older completions of prompts. A provider that knows only chats is asked each as a chat."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from engine.errors import InvalidRequest
from engine.models import wire
from engine.models.interface import (
    Answer,
    Chunk,
    CompletionRequest,
    Continuation,
    Generation,
    Message,
    Usage,
)
from engine.models.wire import Json
from engine.operations.bound_model import BoundModel
from engine.operations.operation import Operation

MOST_CHOICES = 128
"""Choices of one answer, of all its prompts together."""

DEFAULT_TOKENS = 16
"""OpenAI's, where the caller sets no limit."""


async def complete_prompts(model: BoundModel, request: CompletionRequest) -> Answer:
    """Return a whole `text_completion`: the choices of the first prompt, of the second, and so on.

    Raise `InvalidRequest` for too many prompts.
    """
    head, choices, usage = Json(), list[Json](), Usage()
    for number, prompt in enumerate(await _prompts(model, request)):
        answer = await model.complete(prompt)
        body = msgspec.json.decode(answer.body)
        head = head or _head(body)
        choices += _texts(body, prompt, number)
        usage += answer.usage
    whole = {**head, "choices": choices, "usage": wire.usage_object(usage)}
    return Answer(wire.encode_json(whole), usage)


async def stream_prompts(
    model: BoundModel, request: CompletionRequest
) -> AsyncGenerator[Chunk, None]:
    """Yield the same in pieces, one prompt after the other, with one usage at the end."""
    head, usage = Json(), Usage()
    for number, prompt in enumerate(await _prompts(model, request)):
        async with aclosing(model.stream(prompt)) as chunks:
            async for chunk in chunks:
                usage += chunk.usage or Usage()
                for body in map(msgspec.json.decode, wire.data_of(chunk.events)):
                    head = head or _head(body)
                    if choices := _texts(body, prompt, number):
                        yield Chunk(wire.sse_event({**head, "choices": choices}))
    last = {**head, "choices": [], "usage": wire.usage_object(usage)}
    yield Chunk(wire.sse_event(last) if request.include_usage else b"", usage)


async def _prompts(model: BoundModel, request: CompletionRequest) -> list[Continuation]:
    texts = await wire.input_texts(request.prompt, model.tokenizer, "prompt")
    if len(texts) * (request.n or 1) > MOST_CHOICES:
        message = f"An answer may have {MOST_CHOICES} choices: send fewer prompts."
        raise InvalidRequest(message, param="prompt")
    one = isinstance(request.prompt, str) or isinstance(request.prompt[0], int)
    raw = [request.prompt] if one else request.prompt
    common = request.model_dump(include=set(Generation.model_fields), exclude_none=True)
    chat = {"max_tokens": DEFAULT_TOKENS, **common, "stream_options": None}
    if request.logprobs is not None:
        chat |= {"logprobs": True, "top_logprobs": request.logprobs}
    return [
        Continuation(
            **chat,
            messages=[Message(role="user", content=text)],
            completion=request.model_copy(update={"prompt": prompt}),
        )
        for prompt, text in zip(raw, texts, strict=True)
    ]


def _head(body: Json) -> Json:
    head = {key: value for key, value in body.items() if key not in ("choices", "usage")}
    return {**head, "id": str(body.get("id")).removeprefix("chat"), "object": "text_completion"}


def _texts(body: Json, prompt: Continuation, number: int) -> list[Json]:
    before = number * (prompt.n or 1)
    choices = [_text(choice, prompt) for choice in body["choices"]]
    return [
        {**choice, "index": before + choice["index"]}
        for choice in choices
        if choice["text"] or choice["finish_reason"]
    ]


def _text(choice: Json, prompt: Continuation) -> Json:
    if "text" in choice:  # the provider knows completions
        return {"finish_reason": None, **choice}
    part = choice.get("message") or choice["delta"]
    text = part.get("content") or ""
    if prompt.completion.echo and "role" in part:
        text = f"{prompt.messages[0].content}{text}"
    return {
        "text": text,
        "index": choice["index"],
        "logprobs": _logprobs(choice.get("logprobs")),
        "finish_reason": choice.get("finish_reason"),
    }


def _logprobs(found: Json | None) -> Json | None:
    if not found or not found.get("content"):
        return None
    entries = found["content"]
    tokens = [entry["token"] for entry in entries]
    return {
        "tokens": tokens,
        "token_logprobs": [entry["logprob"] for entry in entries],
        "top_logprobs": [
            {other["token"]: other["logprob"] for other in entry["top_logprobs"]}
            for entry in entries
        ],
        "text_offset": [sum(map(len, tokens[:at])) for at in range(len(tokens))],
    }


COMPLETIONS = Operation("/v1/completions", CompletionRequest, complete_prompts)
