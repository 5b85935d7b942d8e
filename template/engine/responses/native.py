"""Model servers that speak Responses themselves: the request without any state, the events relayed.

The state is ours: such a server keeps nothing, and sees no id that was made here.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

import msgspec

from engine.body import read_field
from engine.errors import ModelUnavailable, Unsupported
from engine.models.interface import (
    ENCRYPTED,
    Answer,
    Chunk,
    NativeAnswer,
    NativeChunk,
    ResponseChat,
)
from engine.models.reading import NO_JSON, NOT_OPENAI, token_counts
from engine.models.sse import LAST
from engine.models.wire import Json, data_of, encode_json
from engine.responses.events import Translation
from engine.responses.schema import ResponseRequest
from engine.responses.translation import OWN_ID, chat_fields, item_place, readable_items

STATE = {
    "background",
    "background_options",
    "conversation",
    "input",
    "metadata",
    "model",
    "previous_response_id",
    "store",
    "stream",
}
"""Fields of a request that are not for the server, or not as the caller sent them."""

OURS = {
    "id",
    "background",
    "conversation",
    "created_at",
    "metadata",
    "previous_response_id",
    "prompt_cache_key",
    "store",
}
"""Fields of a response that the server knows nothing of."""

HOSTED_CALLS = {
    "code_interpreter_call",
    "computer_call",
    "file_search_call",
    "image_generation_call",
    "web_search_call",
}
"""Items that only a server makes: their ids are its own, and it requires them."""

OBJECTS = ("file_id", "file_url")


def response_chat(
    request: ResponseRequest, items: Sequence[Json], first: int, caller_id: str
) -> ResponseChat:
    """Return the request as a chat, with its body for a server that speaks Responses.

    The request's own items begin at index `first`. Raise `InvalidRequest` for an item that is
    malformed, `Unsupported` for one that names a file.
    """
    refuse_objects(items, first)
    body = partial(native_body, request, items, caller_id)
    refusal = None
    try:
        chat = chat_fields(request, items, first)
    except Unsupported as error:
        text, refusal = encode_json(body()["input"]).decode(), error
        chat = {"model": request.model, "messages": [{"role": "user", "content": text}]}
    return read_field(ResponseChat, {**chat, "response": body, "refusal": refusal}, "")


def native_body(request: ResponseRequest, items: Sequence[Json], caller_id: str) -> Json:
    """Return the body for a server: all items instead of a chain, and nothing that it keeps.

    The key of its prompt cache has the caller's name, so that no other caller can probe it.
    """
    key = f"{caller_id}\n{request.prompt_cache_key or ''}"
    left_out = STATE if request.stream else {*STATE, "stream_options"}
    return {
        **request.model_dump(exclude_unset=True, exclude=left_out),
        "input": [sent for _, item in readable_items(items) for sent in _native_item(item)],
        "store": False,
        "include": sorted({*request.include, ENCRYPTED}),
        "prompt_cache_key": hashlib.sha256(key.encode()).hexdigest()[:32],
    }


def _native_item(item: Json) -> Iterator[Json]:
    """Yield an item without an id that may be ours. Reasoning counts only as a server's own."""
    kind = str(item.get("type", "message"))
    own = OWN_ID.fullmatch(str(item.get("id")))
    if not own and (item.get("encrypted_content") or kind in HOSTED_CALLS):
        yield item
    elif kind != "reasoning" or item.get("content") or item.get("encrypted_content"):
        item = {name: each for name, each in item.items() if name != "id"}
        content = item.get("content")
        if item.get("role") == "assistant" and isinstance(content, list):
            texts = [part.get("text") for part in content if isinstance(part, dict)]
            found = [text for text in texts if isinstance(text, str)]
            if len(found) == len(content):
                item["content"] = "".join(found)  # many servers read no list without an id
        yield item


def refuse_objects(items: Sequence[Json], first: int = 0, sent_as: str = "input") -> None:
    """Raise `Unsupported` for an item that names a file. The request's own begin at `first`."""
    for number, item in enumerate(items):
        for field in ("content", "output"):
            parts = item.get(field)
            for at, part in enumerate(parts if isinstance(parts, list) else ()):
                for name in OBJECTS:
                    if isinstance(part, dict) and part.get(name):
                        message = f"'{name}' is not supported: send the content itself."
                        place = item_place(item, number - first, sent_as)
                        raise Unsupported(message, param=f"{place}.{field}[{at}].{name}")


class Relay(Translation):
    """A translation that also takes the events of a server that speaks Responses.

    They keep the server's items and ids; the numbers and the response around them are ours.
    """

    def __init__(self, response: Json) -> None:
        super().__init__(response)
        self._shift: int | None = None
        """The index of this answer's first item: earlier ones are of an attempt that broke off."""
        self._ended = False

    def take(self, chunk: Chunk) -> bytes:
        """Return the events that come of a chunk. Raise `ModelUnavailable` where it is none."""
        if not isinstance(chunk, NativeChunk):
            return self.add(chunk.events)
        for data in data_of(chunk.events):
            self._relay(data)
        return self._taken()

    def take_whole(self, answer: Answer) -> None:
        """Take a whole answer, of which no event is sent."""
        if isinstance(answer, NativeAnswer):
            theirs = _decoded(answer.body)
            self._take_over(theirs, theirs["status"])
        else:
            self.add_whole(answer.body)

    def end(self) -> bytes:
        """Close the open item and the response; return the events before the last."""
        return b"" if self._ended else super().end()

    def _relay(self, data: bytes) -> None:
        event = _decoded(data)
        if event["type"] in LAST:
            self._take_over(event["response"], event["type"].removeprefix("response."))
            return
        if self._shift is None:
            self._shift = self._first
        if event.get("sequence_number") != self.sequence or self._shift:
            event["sequence_number"] = self.sequence
            if "output_index" in event:
                event["output_index"] += self._shift
            data = encode_json(event)
        self._events.append(b"event: %b\ndata: %b\n\n" % (event["type"].encode(), data))
        try:
            self.replay(event)
        except (KeyError, TypeError) as error:
            raise ModelUnavailable(NOT_OPENAI) from error
        if event["type"] == "response.output_item.done":
            self.response["output"].append(event["item"])

    def _close(self, status: str) -> None:
        found = self._open
        if found is None or found.kind or found.item["type"] == "function_call":
            super()._close(status)
            return
        self._open, found.item["status"] = None, status
        self._event("output_item.done", output_index=found.at["output_index"], item=found.item)

    def _take_over(self, theirs: Json, status: str) -> None:
        """Take over the server's response but for the fields that are ours."""
        kept = {name: each for name, each in theirs.items() if name not in OURS}
        output = theirs.get("output") or self.response["output"]  # some servers leave it empty
        usage = _usage(theirs.get("usage"))
        self.response |= {**kept, "status": status, "output": output, "usage": usage}
        self._ended, self._open = True, None


def _usage(theirs: object) -> Json | None:
    """Return the server's usage with the details that clients look for, None for no counts."""
    if not isinstance(theirs, dict) or None in token_counts(theirs):
        return None
    read, made = theirs.get("input_tokens_details"), theirs.get("output_tokens_details")
    return {
        "total_tokens": theirs["input_tokens"] + theirs["output_tokens"],
        **theirs,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, **(read or {})},
        "output_tokens_details": {"reasoning_tokens": 0, **(made or {})},
    }


def _decoded(data: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(data, type=dict)
    except NO_JSON as error:
        raise ModelUnavailable(NOT_OPENAI) from error
    return found
