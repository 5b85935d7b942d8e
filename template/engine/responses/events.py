"""The events of a response, made of the chunks of a chat; the response grows with them.

The grammar is OpenAI's: each event has its type, a `sequence_number` without gaps, and the ids and
indexes of its place. One item is open at a time, and a chunk of another kind closes it. Reasoning
goes out as a summary, because most clients read no other form.
"""

import time
from dataclasses import asdict
from typing import Any, NamedTuple

from engine.errors import (
    AppError,
    InvalidRequest,
    ModelRateLimited,
    ModelRejected,
    ModelUnavailable,
    Overloaded,
    RateLimited,
)
from engine.models.interface import Usage
from engine.models.wire import Json, data_of, encode_json
from engine.responses.chat_chunks import (
    ChatChunk,
    ChunkCall,
    Delta,
    logprobs_of,
    read_chat_chunk,
    response_usage,
)
from engine.sql.statements import new_id

CUT_OFF = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Reasons of an incomplete response, by the `finish_reason` of a chat."""


class TextKind(NamedTuple):
    """A kind of text in an item, with the names of its events."""

    item: str
    prefix: str
    place: str
    part: str
    event: str
    field: str


TEXT = TextKind("message", "msg", "content", "content_part", "output_text", "text")
REFUSAL = TextKind("message", "msg", "content", "content_part", "refusal", "refusal")
SUMMARY = TextKind(
    "reasoning", "rs", "summary", "reasoning_summary_part", "reasoning_summary_text", "text"
)
KINDS = {"output_text": TEXT, "refusal": REFUSAL, "summary_text": SUMMARY}
"""The kinds by the type of their part."""


class OpenItem:
    """The item that grows. `pieces` are those of its text or of its arguments."""

    def __init__(self, item: Json, index: int, kind: TextKind | None) -> None:
        self.item = item
        self.kind = kind
        self.pieces: list[str] = []
        self.logprobs: list[Json] = []
        self.annotations: list[Json] = []
        self.at: Json = {"item_id": item["id"], "output_index": index}
        if kind:
            self.at["summary_index" if kind is SUMMARY else "content_index"] = 0


class Translation:
    """Turns the chunks of one chat into events, as bytes of server-sent events.

    `response` is what the events have said so far. `sequence` is the number of the next event.
    """

    def __init__(self, response: Json) -> None:
        self.response = response
        self.sequence = 0
        self.begun = False
        """Whether the response has been told to be in progress."""
        self._events: list[bytes] = []
        self._open: OpenItem | None = None
        self._first = 0
        self._calls: dict[int, str] = {}
        self._finish: str | None = None

    def begin(self) -> bytes:
        """Return the first events: those of a response that is queued, or that runs at once."""
        self._life("created")
        if self.response["status"] == "queued":
            self._life("queued")
            return self._taken()
        return self.progress()

    def progress(self) -> bytes:
        """Return the event of a response that a worker begins."""
        self.begun, self.response["status"] = True, "in_progress"
        self._life("in_progress")
        return self._taken()

    def add(self, events: bytes) -> bytes:
        """Return the events that come of a chunk's. Raise `ModelUnavailable` for no chat."""
        for data in data_of(events):
            self._add(read_chat_chunk(data))
        return self._taken()

    def add_whole(self, answer: bytes) -> None:
        """Take a whole answer, of which no event is sent."""
        self._add(read_chat_chunk(answer))
        self._taken()

    def count(self, usage: Usage) -> None:
        """Note the tokens, where the answer itself has not told them."""
        if self.response["usage"] is None:
            self.response["usage"] = response_usage(asdict(usage))

    def end(self) -> bytes:
        """Close the open item and the response; return the events before the last."""
        cut = CUT_OFF.get(self._finish or "")
        if not (self.response["output"] or cut):
            self._begin_text(TEXT)  # an empty message: clients look for one
        self._close("incomplete" if cut else "completed")
        self._settle(cut)
        return self._taken()

    def _settle(self, cut: str | None) -> None:
        if cut:
            self.response |= {"status": "incomplete", "incomplete_details": {"reason": cut}}
        else:
            self.response |= {"status": "completed", "completed_at": int(time.time())}

    def fail(self, error: AppError) -> bytes:
        """Close the open item, and the response as failed; return the events before the last."""
        self._close("incomplete")
        told = {"code": error_code(error), "message": error.message}
        self.response |= {"status": "failed", "error": told}
        self.response |= {"completed_at": None, "incomplete_details": None}
        return self._taken()

    def last(self) -> bytes:
        """Return the event that tells the final status."""
        self._life(self.response["status"])
        return self._taken()

    def replay(self, event: Json) -> None:
        """Take over an event of an earlier attempt: this one goes on with the next number."""
        self.sequence = event["sequence_number"] + 1
        self.begun = self.begun or event["type"] == "response.in_progress"
        match event["type"].removeprefix("response."):
            case "output_item.added":
                self._first = event["output_index"] + 1
                self._open = OpenItem(event["item"], event["output_index"], None)
            case "content_part.added" | "reasoning_summary_part.added" if self._open:
                kind = KINDS.get(event["part"]["type"])
                self._open = OpenItem(self._open.item, event["output_index"], kind)
            case "output_item.done":
                self._open = None
            case _ if self._open and "delta" in event:
                self._open.pieces.append(event["delta"])

    def break_off(self) -> bytes:
        """Close an item whose worker died in the midst of it: the response does not keep it."""
        self._close("incomplete")
        return self._taken()

    def _taken(self) -> bytes:
        events, self._events = b"".join(self._events), []
        return events

    def _event(self, kind: str, **fields: Any) -> None:  # noqa: ANN401
        kind = f"response.{kind}"
        data = encode_json({"type": kind, "sequence_number": self.sequence, **fields})
        self._events.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), data))
        self.sequence += 1

    def _life(self, name: str) -> None:
        self._event(name, response=self.response)

    def _add(self, chunk: ChatChunk) -> None:
        for choice in chunk.choices:
            if choice.index:
                continue
            delta = choice.delta or choice.message or Delta()
            reasoning = delta.reasoning_content or delta.reasoning
            if reasoning and isinstance(reasoning, str):
                self._text(SUMMARY, reasoning, [])
            if delta.content and isinstance(delta.content, str):
                self._text(TEXT, delta.content, logprobs_of(choice.logprobs))
            if delta.refusal:
                self._text(REFUSAL, delta.refusal, [])
            for number, call in enumerate(delta.tool_calls or ()):
                self._call(call, number if choice.message else call.index)
            self._finish = choice.finish_reason or self._finish
        self.response["usage"] = response_usage(chunk.usage) or self.response["usage"]

    def _text(self, kind: TextKind, delta: str, logprobs: list[Json]) -> None:
        found = self._open
        if found is None or found.kind is not kind:
            found = self._begin_text(kind)
        found.pieces.append(delta)
        found.logprobs += logprobs
        more = {"logprobs": logprobs} if kind is TEXT else {}
        self._event(f"{kind.event}.delta", **found.at, delta=delta, **more)

    def _begin_text(self, kind: TextKind) -> OpenItem:
        item: Json = {"id": new_id(kind.prefix), "type": kind.item, "status": "in_progress"}
        if kind.item == "message":
            item["role"] = "assistant"
        found = self._begin_item({**item, kind.place: []}, kind)
        self._event(f"{kind.part}.added", **found.at, part=part_of(found))
        return found

    def _call(self, call: ChunkCall, index: int) -> None:
        found, known = self._open, self._calls.get(index)
        if known is None or (call.id and call.id != known):
            known = self._calls[index] = call.id or new_id("call")
            item = {
                "id": new_id("fc"),
                "type": "function_call",
                "status": "in_progress",
                "call_id": known,
                "name": call.function.name or "",
                "arguments": "",
            }
            found = self._begin_item(item, None)
        if found is None or found.item.get("call_id") != known:
            raise ModelUnavailable("The model server went back to a tool call that had ended.")
        if arguments := call.function.arguments:
            found.pieces.append(arguments)
            self._event("function_call_arguments.delta", **found.at, delta=arguments)

    def _begin_item(self, item: Json, kind: TextKind | None) -> OpenItem:
        self._close("completed")
        self._open = OpenItem(item, self._first + len(self.response["output"]), kind)
        self.response["output"].append(item)
        self._event("output_item.added", output_index=self._open.at["output_index"], item=item)
        return self._open

    def _close(self, status: str) -> None:
        found, self._open = self._open, None
        if found is None:
            return
        item, kind = found.item, found.kind
        item["status"] = status
        if kind is None:
            item["arguments"] = "".join(found.pieces)
            told = {"name": item["name"], "arguments": item["arguments"]}
            self._event("function_call_arguments.done", **found.at, **told)
        else:
            part = part_of(found)
            item[kind.place].append(part)
            more = {"logprobs": found.logprobs} if kind is TEXT else {}
            self._event(f"{kind.event}.done", **found.at, **{kind.field: part[kind.field]}, **more)
            self._event(f"{kind.part}.done", **found.at, part=part)
        self._event("output_item.done", output_index=found.at["output_index"], item=item)


def part_of(found: OpenItem) -> Json:
    """Return the part of a message or reasoning that holds the text so far."""
    kind, text = found.kind, "".join(found.pieces)
    if kind is REFUSAL:
        return {"type": "refusal", "refusal": text}
    if kind is SUMMARY:
        return {"type": "summary_text", "text": text}
    more = {"annotations": found.annotations, "logprobs": found.logprobs}
    return {"type": "output_text", "text": text, **more}


def error_code(error: AppError) -> str:
    """Return the code of a failed response, from OpenAI's closed list."""
    if isinstance(error, ModelRateLimited | RateLimited | Overloaded):
        return "rate_limit_exceeded"
    if isinstance(error, ModelRejected | InvalidRequest):
        return "invalid_prompt"
    return "server_error"
