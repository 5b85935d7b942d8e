"""Training files are checked line by line, in pieces of any size."""

import json

import pytest

from engine.errors import InvalidRequest
from engine.fine_tuning.training_file import LONGEST_LINE, TrainingFileCheck
from tests.fine_tuning.training import examples


def check(content: bytes, *, piece: int = 1000, most_tokens: int = 10_000) -> TrainingFileCheck:
    """Return the check of a whole file; one token a character."""
    made = TrainingFileCheck("training_file", fewest=10, most_tokens=most_tokens, count=len)
    for at in range(0, len(content), piece):
        made.feed(content[at : at + piece])
    made.end()
    return made


def messages(*given: object) -> bytes:
    return json.dumps({"messages": given}).encode()


USER = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Good day"}
CALL = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f"}}]}


@pytest.mark.parametrize("piece", [1, 7, 1_000_000])
def test_a_good_file_is_counted(piece: int) -> None:
    asked, given = "What is the capital of France?", "Paris, 0."
    assert check(examples(), piece=piece).tokens == 10 * (len(asked) + len(given) + 6)


def test_a_last_line_without_an_end_counts() -> None:
    assert check(examples().rstrip(b"\n")).tokens


def test_a_byte_order_mark_windows_line_ends_and_blank_lines_are_no_error() -> None:
    assert check(b"\xef\xbb\xbf" + examples().replace(b"\n", b"\r\n\r\n")).tokens


def test_calls_of_tools_and_parts_are_examples() -> None:
    result = {"role": "tool", "tool_call_id": "1", "content": "5"}
    parts = {"role": "user", "content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]}
    line = messages({"role": "developer", "content": "Be kind."}, parts, CALL, result, ANSWER)
    assert check((line + b"\n") * 10).tokens


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "truncated"),
        (b"[1]", "Expected `object`"),
        (b"{}", "missing required field `messages`"),
        (b'{"messages": 5}', "Expected `array`"),
        (b"\xff", "not UTF-8"),
        (messages(), "last message must be the assistant's"),
        (messages(ANSWER, USER), "last message must be the assistant's"),
        (messages({"role": "robot", "content": "x"}, ANSWER), "Invalid enum value 'robot'"),
        (messages({"content": "x"}, ANSWER), "missing required field `role`"),
        (messages({"role": "user"}, ANSWER), "`messages[0]` has no content"),
        (messages({"role": "user", "content": 5}, ANSWER), "Expected `str | array | null`"),
        (messages(USER, {"role": "assistant"}), "`messages[1]` has no content"),
        (b'{"x":' + b"[" * 100_000, "recursion"),
    ],
)
def test_an_error_names_the_line(line: bytes, reason: str) -> None:
    content = examples(4) + line + b"\n" + examples(10)
    with pytest.raises(InvalidRequest) as refused:
        check(content)
    assert refused.value.code == "invalid_training_file"
    assert refused.value.param == "training_file"
    assert refused.value.message.startswith("Line 5 of the file of `training_file`")
    assert reason.lower() in refused.value.message.lower()


@pytest.mark.parametrize("count", [0, 9])
def test_too_few_examples_are_refused(count: int) -> None:
    with pytest.raises(InvalidRequest, match=f"has {count} examples: give at least 10"):
        check(examples(count))


def test_the_line_that_exceeds_the_tokens_is_named() -> None:
    each = check(examples()).tokens // 10
    with pytest.raises(InvalidRequest, match=r"Line 4 .* more than 150 tokens"):
        check(examples(), most_tokens=150)
    assert 3 * each <= 150 < 4 * each


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    made = TrainingFileCheck("training_file", fewest=10, most_tokens=10, count=len)
    for _ in range(LONGEST_LINE // 1000):
        made.feed(b" " * 1000)
    with pytest.raises(InvalidRequest, match=r"Line 1 .* longer than"):
        made.feed(b" " * 1000)
