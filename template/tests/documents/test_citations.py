"""Markers of sources become annotations, however a text comes in pieces, from every server."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.documents.citations import CitingRelay, MarkerCutter, Source, cut_markers
from engine.models.interface import Chunk, NativeAnswer, NativeChunk, Usage
from engine.models.wire import data_of
from engine.responses.schema import ResponseRequest, new_response

SOURCES = {1: Source("file_1", "one.md"), 2: Source("file_2", "two.md")}
TEXTS = st.text(alphabet="ab []12,3 ", max_size=40)


def cut(text: str) -> tuple[str, list[tuple[str, int]]]:
    found, annotations = cut_markers(text, SOURCES)
    return found, [(each["file_id"], each["index"]) for each in annotations]


@pytest.mark.parametrize(
    ("text", "found", "cited"),
    [
        ("It is so [1].", "It is so.", [("file_1", 8)]),
        ("So[1] and so [2].", "So and so.", [("file_1", 2), ("file_2", 9)]),
        ("Both [1, 2]", "Both", [("file_1", 4), ("file_2", 4)]),
        ("Both [1][2].", "Both.", [("file_1", 4), ("file_2", 4)]),
        ("Unknown [3].", "Unknown [3].", []),
        ("Half known [1, 3].", "Half known [1, 3].", []),
        ("A list [x] and [] and [1", "A list [x] and [] and [1", []),
        ("An index a[1 ]", "An index a[1 ]", []),
    ],
)
def test_a_marker_of_a_shown_source_is_cut_out(
    text: str, found: str, cited: list[tuple[str, int]]
) -> None:
    assert cut(text) == (found, cited)


@given(text=TEXTS, places=st.lists(st.integers(0, 40)))
def test_a_text_in_pieces_is_cut_like_a_whole_one(text: str, places: list[int]) -> None:
    cutter = MarkerCutter(SOURCES)
    ends = [*sorted(min(place, len(text)) for place in places), len(text)]
    pieces = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    found = "".join(cutter.feed(piece) for piece in pieces) + cutter.rest()
    assert (found, cutter.annotations) == cut_markers(text, SOURCES)


@given(text=TEXTS)
def test_an_annotation_stands_within_the_text(text: str) -> None:
    found, annotations = cut_markers(text, SOURCES)
    assert all(0 <= each["index"] <= len(found) for each in annotations)


def relay() -> CitingRelay:
    return CitingRelay(new_response(ResponseRequest(model="m", input="Hi")), SOURCES)


def native(kind: str, **fields: object) -> NativeChunk:
    event = {"type": f"response.{kind}", "sequence_number": 0, **fields}
    return NativeChunk(f"data: {json.dumps(event)}\n\n".encode())


def events_of(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(each) for each in data_of(data)]


def test_a_server_that_speaks_responses_is_cited_too() -> None:
    part = {"type": "output_text", "text": "So [1].", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    at = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    theirs = {"id": "resp_1", "status": "completed", "output": [item], "usage": None}
    chunks = [
        native("output_item.added", output_index=0, item={**item, "content": []}),
        native("content_part.added", **at, part={**part, "text": ""}),
        *(native("output_text.delta", **at, delta=delta) for delta in ("So", " [", "1", "].")),
        native("output_text.done", **at, text="So [1]."),
        native("content_part.done", **at, part=part),
        native("output_item.done", output_index=0, item=item),
        native("completed", response=theirs),
    ]
    translation = relay()
    events = [each for chunk in chunks for each in events_of(translation.take(chunk))]
    deltas = [each["delta"] for each in events if each["type"].endswith("output_text.delta")]
    assert "".join(deltas) == "So."
    added = [each for each in events if each["type"].endswith("annotation.added")]
    assert [each["annotation"]["file_id"] for each in added] == ["file_1"]
    assert [each["sequence_number"] for each in events] == list(range(len(events)))
    (message,) = translation.response["output"]
    assert message["content"][0]["text"] == "So."
    assert message["content"][0]["annotations"][0]["index"] == 2


def test_a_whole_answer_of_such_a_server_is_cited() -> None:
    part = {"type": "output_text", "text": "So [2].", "annotations": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}
    body = {"id": "resp_1", "status": "completed", "output": [item], "usage": None}
    translation = relay()
    translation.take_whole(NativeAnswer(json.dumps(body).encode(), Usage()))
    assert translation.response["output"][0]["content"][0]["text"] == "So."


def test_a_text_that_ends_with_half_a_marker_is_whole() -> None:
    choice = {"index": 0, "delta": {"content": "So [1"}, "finish_reason": "stop"}
    chunk = Chunk(f"data: {json.dumps({'choices': [choice]})}\n\n".encode())
    translation = relay()
    translation.begin()
    events = events_of(translation.take(chunk) + translation.end())
    deltas = [each["delta"] for each in events if each["type"].endswith("output_text.delta")]
    assert "".join(deltas) == "So [1"
    assert translation.response["output"][0]["content"][0]["text"] == "So [1"
