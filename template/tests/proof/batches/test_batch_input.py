"""A batch file is checked line by line before any of it runs."""

import json

import pytest

from engine.batches.batch_input import MOST_ERRORS, BatchInput
from engine.operations.operation import CHAT
from tests.lines import chat_body, line

GOOD = chat_body("Hello")


def written(custom_id: str = "a", **body: object) -> bytes:
    return json.dumps(line(custom_id, {**GOOD, **body})).encode()


def checks(most_lines: int = 10, longest_line: int = 1000) -> BatchInput:
    return BatchInput(CHAT, most_lines, longest_line)


def errors(checked: BatchInput) -> list[tuple[str, int | None]]:
    checked.end()
    return [(error.code, error.line) for error in checked.errors]


def test_good_lines_are_items_in_their_order() -> None:
    checked = checks()
    items = checked.read([written("a"), written("b")]) + checked.read([written("c")])
    assert [(item.seq, item.custom_id) for item in items] == [(0, "a"), (1, "b"), (2, "c")]
    assert json.loads(items[0].body) == GOOD
    assert errors(checked) == []


def test_a_line_is_named_by_its_number_in_the_file_where_empty_ones_count_too() -> None:
    checked = checks()
    items = checked.read([b"", written("a"), b"  ", b"{", b"\r"])
    assert [item.seq for item in items] == [0]
    assert errors(checked) == [("invalid_json_line", 4)]


def test_a_file_may_begin_with_a_byte_order_mark() -> None:
    checked = checks()
    checked.read([b"\xef\xbb\xbf" + written("a"), written("b")])
    assert errors(checked) == []


def test_a_field_that_is_wrong_is_named_as_openai_names_it() -> None:
    checked = checks()
    checked.read([written("a", messages=[{"content": "x"}])])
    assert [error.param for error in checked.errors] == ["body.messages[0].role"]


@pytest.mark.parametrize(("more", "found"), [(0, []), (1, [("line_too_long", 2)])])
def test_a_line_may_be_as_long_as_a_request(more: int, found: list[tuple[str, int]]) -> None:
    longest = len(written("bb", user="x" * 100)) - more
    checked = checks(longest_line=longest)
    checked.read([written("a"), written("bb", user="x" * 100)])
    assert errors(checked) == found


@pytest.mark.parametrize(("count", "found"), [(10, []), (11, [("too_many_lines", None)])])
def test_a_file_may_have_so_many_lines(count: int, found: list[tuple[str, None]]) -> None:
    checked = checks(most_lines=10)
    for number in range(count):
        checked.read([written(str(number))])
    assert errors(checked) == found


def test_an_id_that_stood_in_an_earlier_piece_is_no_new_one() -> None:
    checked = checks(longest_line=4000)
    checked.read([written("ü" * 512)])
    checked.read([written("ü" * 512)])
    assert errors(checked) == [("duplicate_custom_id", 2)]


def test_no_more_errors_are_told_than_help() -> None:
    checked = checks(most_lines=2 * MOST_ERRORS)
    checked.read([b"{"] * (MOST_ERRORS + 1))
    assert len(errors(checked)) == MOST_ERRORS


@pytest.mark.parametrize("field", ["custom_id", "method", "url", "body"])
def test_no_field_may_be_missing(field: str) -> None:
    incomplete = line("a", GOOD)
    del incomplete[field]
    checked = checks()
    checked.read([json.dumps(incomplete).encode()])
    assert errors(checked) == [("invalid_json_line", 1)]
    assert field in checked.errors[0].message


def test_a_batch_cannot_stream() -> None:
    checked = checks()
    checked.read([written(stream=True)])
    assert [error.param for error in checked.errors] == ["body.stream"]
