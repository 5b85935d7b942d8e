"""Citations: markers of sources in an answer become annotations, whole or streamed.

A model writes `[2]` or `[1, 3]` behind a statement. A marker of sources that were shown is cut out,
with the space before it, and a `file_citation` stands at its place. Any other bracket is text.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from engine.models.wire import Json, encode_json
from engine.responses.events import TEXT, TextKind
from engine.responses.native import Relay

MARKER = re.compile(r" ?\[(\d{1,4}(?:, ?\d{1,4})*)\]")
BEGUN = re.compile(r" ?(\[[\d, ]{0,40})?$")
"""The end of a text that may be the beginning of a marker."""


class Source(NamedTuple):
    """A file that a marker leads to."""

    file_id: str
    filename: str


class MarkerCutter:
    """Cuts the markers of `sources` out of a text that comes in pieces."""

    def __init__(self, sources: Mapping[int, Source]) -> None:
        self._sources = sources
        self._held = ""
        self._length = 0
        self.annotations: list[Json] = []

    def feed(self, piece: str) -> str:
        """Return the text that is sure by now; the annotations grow with it."""
        text = self._held + piece
        begun = BEGUN.search(text)
        sure = begun.start() if begun else len(text)
        self._held = text[sure:]
        return "".join(self._cut(text[:sure]))

    def rest(self) -> str:
        """Return the text that was held back."""
        text, self._held = self._held, ""
        self._length += len(text)
        return text

    def _cut(self, text: str) -> Iterator[str]:
        at = 0
        for marker in MARKER.finditer(text):
            numbers = [int(each) for each in marker[1].split(",")]
            if all(number in self._sources for number in numbers):
                yield self._counted(text[at : marker.start()])
                at = marker.end()
                self.annotations += [self._citation(number) for number in numbers]
        yield self._counted(text[at:])

    def _counted(self, text: str) -> str:
        self._length += len(text)
        return text

    def _citation(self, number: int) -> Json:
        source = self._sources[number]
        named = {"file_id": source.file_id, "filename": source.filename}
        return {"type": "file_citation", "index": self._length, **named}


def cut_markers(text: str, sources: Mapping[int, Source]) -> tuple[str, list[Json]]:
    """Return a whole text without its markers, and the annotations in their place."""
    cutter = MarkerCutter(sources)
    return cutter.feed(text) + cutter.rest(), cutter.annotations


class CitingRelay(Relay):
    """A relay whose texts have annotations for the markers of `sources`."""

    def __init__(self, response: Json, sources: Mapping[int, Source]) -> None:
        super().__init__(response)
        self._sources = sources
        self._cutter = MarkerCutter(sources)

    def _text(self, kind: TextKind, delta: str, logprobs: list[Json]) -> None:
        if kind is not TEXT:
            super()._text(kind, delta, logprobs)
            return
        if self._open is None or self._open.kind is not TEXT:
            self._begin_text(TEXT)
        told = len(self._cutter.annotations)
        if sure := self._cutter.feed(delta):
            super()._text(TEXT, sure, logprobs)
        self._annotate(told)

    def _annotate(self, told: int) -> None:
        found = self._open
        for number, annotation in enumerate(self._cutter.annotations[told:], told):
            if found:
                found.annotations.append(annotation)
                at = {**found.at, "annotation_index": number}
                self._event("output_text.annotation.added", **at, annotation=annotation)

    def _close(self, status: str) -> None:
        if self._open and self._open.kind is TEXT:
            if rest := self._cutter.rest():
                super()._text(TEXT, rest, [])
            self._cutter = MarkerCutter(self._sources)
        super()._close(status)

    def _relay(self, data: bytes) -> None:
        """Do the same to the events of a server that speaks Responses."""
        event = msgspec.json.decode(data)
        if event["type"] == "response.output_text.delta":
            told = len(self._cutter.annotations)
            self._relay_text(event, self._cutter.feed(event["delta"]))
            for number, annotation in enumerate(self._cutter.annotations[told:], told):
                more = {"annotation_index": number, "annotation": annotation}
                kind = "response.output_text.annotation.added"
                super()._relay(encode_json({"type": kind, **_place_of(event), **more}))
            return
        if event["type"] == "response.output_text.done":
            self._relay_text(event, self._cutter.rest())
            self._cutter = MarkerCutter(self._sources)
        super()._relay(encode_json(self._cited(event)))

    def _relay_text(self, event: Json, text: str) -> None:
        if text:
            more = {"delta": text, "logprobs": []}
            kind = "response.output_text.delta"
            super()._relay(encode_json({"type": kind, **_place_of(event), **more}))

    def _cited(self, event: Json) -> Json:
        match event:
            case {"type": "response.output_text.done", "text": str(text)}:
                return {**event, "text": cut_markers(text, self._sources)[0]}
            case {"part": {"type": "output_text"} as part}:
                return {**event, "part": self._cited_part(part)}
            case {"item": {"type": "message"} as item}:
                return {**event, "item": self._cited_item(item)}
        return event

    def _cited_part(self, part: Json) -> Json:
        text, annotations = cut_markers(part.get("text") or "", self._sources)
        return {
            **part,
            "text": text,
            "annotations": [*(part.get("annotations") or ()), *annotations],
        }

    def _cited_item(self, item: Json) -> Json:
        parts = [
            self._cited_part(part) if part.get("type") == "output_text" else part
            for part in item.get("content") or ()
        ]
        return {**item, "content": parts}

    def _take_over(self, theirs: Json, status: str) -> None:
        output = [
            self._cited_item(item) if item.get("type") == "message" else item
            for item in theirs.get("output") or ()
        ]
        super()._take_over({**theirs, "output": output}, status)


def _place_of(event: Json) -> Json:
    return {name: event[name] for name in ("item_id", "output_index", "content_index")}
