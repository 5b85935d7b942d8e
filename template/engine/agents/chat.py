"""Agents as chats see them: the text of their answers, and none of their calls."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

import msgspec

from engine.errors import ModelError, Unsupported
from engine.models.interface import Answer, ChatRequest, Chunk, Message, Usage
from engine.models.wire import Json, data_of, encode_json, sse_event, usage_object
from engine.responses.schema import ResponseRequest

SAME = {"metadata", "parallel_tool_calls", "service_tier", "temperature", "top_p", "user"}
REFUSED = ("functions", "function_call", "logprobs", "response_format", "stop", "tools")
FINISH = {"max_output_tokens": "length", "max_messages": "length"}
PARTS = {"text": "input_text", "image_url": "input_image"}


def response_of_chat(chat: ChatRequest) -> ResponseRequest:
    """Return the same request as a response, which is not kept: so no human can approve its calls.

    Raise `Unsupported` for fields and messages that an agent cannot honour.
    """
    given = chat.model_dump(exclude_none=True)
    for field in REFUSED:
        if given.get(field):
            message = f"Unsupported parameter: '{field}' is not supported with an agent."
            raise Unsupported(message, param=field)
    if (chat.n or 1) > 1:
        raise Unsupported("An agent gives one choice: leave `n` out.", param="n")
    fields = {name: each for name, each in given.items() if name in SAME}
    return ResponseRequest(
        **fields,
        model=chat.model,
        input=[_item(message, at) for at, message in enumerate(chat.messages)],
        max_output_tokens=chat.max_completion_tokens or chat.max_tokens,
        store=False,
        stream=chat.stream,
    )


def _item(message: Message, at: int) -> Json:
    if message.role not in ("system", "developer", "user", "assistant") or message.model_extra:
        told = f"An agent makes its own calls of tools: leave messages like messages[{at}] out."
        raise Unsupported(told, param=f"messages[{at}]")
    content = message.content
    if isinstance(content, list):
        content = [_part(part) for part in content]
    return {"type": "message", "role": message.role, "content": content or ""}


def _part(part: Json) -> Json:
    told = {**part, "type": PARTS.get(str(part.get("type")), part.get("type"))}
    if isinstance(image := part.get("image_url"), dict):
        told |= {"image_url": image.get("url"), "detail": image.get("detail") or "auto"}
    return told


def chat_of_response(response: Json) -> Answer:
    """Return a response as a `chat.completion`. Raise `ModelError` for one that has failed."""
    texts = list(_texts(response))
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "\n\n".join(texts)},
        "finish_reason": _finish(response),
        "logprobs": None,
    }
    usage = _usage(response)
    whole = {**_head(response, "chat.completion"), "choices": [choice]}
    return Answer(encode_json({**whole, "usage": usage_object(usage)}), usage)


async def chat_chunks(
    events: AsyncGenerator[Chunk, None], chat: ChatRequest
) -> AsyncGenerator[Chunk, None]:
    """Yield the events of a run as the chunks of a chat. Raise `ModelError` for one that fails."""
    head, told = Json(), False
    async with aclosing(events):
        async for chunk in events:
            for event in map(msgspec.json.decode, data_of(chunk.events)):
                kind = event["type"].removeprefix("response.")
                if kind == "created":
                    head = _head(event["response"], "chat.completion.chunk")
                    yield _chunk(head, {"role": "assistant", "content": ""})
                elif kind == "content_part.added" and told:
                    yield _chunk(head, {"content": "\n\n"})
                elif kind == "output_text.delta":
                    told = True
                    yield _chunk(head, {"content": event["delta"]})
                elif kind in ("completed", "incomplete", "failed", "cancelled"):
                    for last in _ending(head, event["response"], chat):
                        yield last


def _ending(head: Json, response: Json, chat: ChatRequest) -> Iterator[Chunk]:
    yield _chunk(head, {}, _finish(response))
    usage = _usage(response)
    last = sse_event({**head, "choices": [], "usage": usage_object(usage)})
    yield Chunk(last if chat.include_usage else b"")


def _head(response: Json, kind: str) -> Json:
    own = str(response["id"]).removeprefix("resp_")
    made = {"created": response["created_at"], "model": response["model"]}
    return {"id": f"chatcmpl-{own}", "object": kind, **made}


def _chunk(head: Json, delta: Json, finish: str | None = None) -> Chunk:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return Chunk(sse_event({**head, "choices": [choice]}))


def _texts(response: Json) -> Iterator[str]:
    for item in response["output"]:
        if item["type"] == "message":
            yield "".join(part.get("text", "") for part in item["content"])


def _finish(response: Json) -> str:
    if response["status"] not in ("completed", "incomplete"):
        raise ModelError(response["error"]["message"])
    reason = str((response["incomplete_details"] or {}).get("reason", "stop"))
    return FINISH.get(reason, reason)


def _usage(response: Json) -> Usage:
    counts = response["usage"] or {}
    return Usage(counts.get("input_tokens", 0), counts.get("output_tokens", 0))
