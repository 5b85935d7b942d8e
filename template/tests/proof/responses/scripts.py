"""A server that speaks Responses, as a script."""

import json
from typing import Any

Json = dict[str, Any]

REASONING = {"type": "reasoning", "id": "rs_theirs", "summary": [], "encrypted_content": "opaque"}
MESSAGE = {
    "type": "message",
    "id": "msg_theirs",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi Ü", "annotations": [], "logprobs": []}],
}
USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
WHOLE: Json = {
    "id": "resp_theirs",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "gpt-of-today",
    "output": [REASONING, MESSAGE],
    "usage": USAGE,
    "store": False,
    "metadata": {},
    "previous_response_id": None,
    "prompt_cache_key": "hashed",
    "of_tomorrow": 1,
}
BEGUN = {**WHOLE, "status": "in_progress", "output": [], "usage": None}


def event(kind: str, **fields: object) -> Json:
    """Return an event without its number."""
    return {"type": kind if kind == "error" else f"response.{kind}", **fields}


def wire(*events: Json, first: int = 0) -> bytes:
    """Return the events as a server sends them, numbered from `first`."""
    numbered = [{**each, "sequence_number": at} for at, each in enumerate(events, first)]
    return b"".join(
        f"event: {each['type']}\ndata: {json.dumps(each, ensure_ascii=False)}\n\n".encode()
        for each in numbered
    )


def delta(text: str) -> Json:
    """Return a piece of the text."""
    at = {"item_id": "msg_theirs", "output_index": 1, "content_index": 0, "logprobs": []}
    return event("output_text.delta", **at, delta=text)


PART: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
BEGINNING = (event("created", response=BEGUN), event("in_progress", response=BEGUN))
HALF = (
    event("output_item.added", output_index=0, item=REASONING),
    event("output_item.done", output_index=0, item=REASONING),
    event("output_item.added", output_index=1, item={**MESSAGE, "content": []}),
    event("content_part.added", output_index=1, content_index=0, item_id="msg_theirs", part=PART),
    delta("Hi"),
)
REST = (delta(" Ü"), event("output_item.done", output_index=1, item=MESSAGE))
COMPLETED = event("completed", response=WHOLE)
SCRIPT = (*BEGINNING, *HALF, *REST, COMPLETED)
