"""Log lines: their fields, their time, their number; no text can forge one."""

import json
import logging
import math
import re
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from engine.watch.telemetry import (
    EQUAL_LINES,
    MOST_KINDS,
    WINDOW,
    EqualLines,
    JsonFormatter,
    TextFormatter,
)

FORGED = "x\n2026-01-01T00:00:00.000+00:00 ERROR   app [-] forged"
FORMATTERS = [JsonFormatter(), TextFormatter()]


def record(
    message: str = "said", *arguments: object, level: int = logging.INFO, **extra: object
) -> logging.LogRecord:
    return logging.getLogger("app.test").makeRecord(
        "app.test", level, __file__, 1, message, arguments, None, extra=extra
    )


def as_json(*arguments: object, **extra: object) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(JsonFormatter().format(record(*arguments, **extra)))  # type: ignore[arg-type]
    return parsed


def fail(error: Exception) -> None:
    raise error


def fail_elsewhere(error: Exception) -> None:
    raise error


def failed(error: Exception, where: Callable[[Exception], None] = fail) -> logging.LogRecord:
    try:
        where(error)
    except Exception:  # noqa: BLE001
        told = record("failed", level=logging.ERROR)
        told.exc_info = sys.exc_info()
        return told
    raise AssertionError


def test_fields_of_a_call_are_members_of_the_object() -> None:
    line = as_json(caller="ada", tokens=12, nested={"a": [1]})
    assert (line["caller"], line["tokens"], line["nested"]) == ("ada", 12, {"a": [1]})


def test_fields_of_a_call_stand_behind_the_text() -> None:
    assert (
        TextFormatter()
        .format(record(caller="ada", tokens=12))
        .endswith(" said caller='ada' tokens=12")
    )


def test_fields_do_not_take_the_place_of_ours() -> None:
    assert as_json(time="forged")["time"] != "forged"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_a_record_without_fields_has_none(formatter: logging.Formatter) -> None:
    told = record(color_message="uvicorn's")
    assert "thread" not in formatter.format(told)
    assert "uvicorn" not in formatter.format(told)


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), {1: {2}}, {(1, 2): 3}])
def test_a_field_that_json_has_not_is_told_all_the_same(value: object) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(JsonFormatter().format(record(field=value)), parse_constant=refuse)


def test_a_field_that_holds_itself_is_told_all_the_same() -> None:
    circle: list[object] = []
    circle.append(circle)
    assert as_json(field=circle)["field"] == "[[...]]"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_the_time_has_a_zone(formatter: logging.Formatter) -> None:
    told = record()
    found = re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", formatter.format(told))
    assert found
    assert datetime.fromisoformat(found[0]).timestamp() == pytest.approx(told.created, abs=0.001)


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize(
    "character", ["\n", "\r", "\v", "\f", "\x1b", "\x9b", "\x85", "\u2028", "\u2029", "\u202e"]
)
@pytest.mark.parametrize(
    "told",
    [
        lambda text: record("GET %s", text),
        record,
        lambda text: record(field=text),
        lambda text: record(**{text: text}),
    ],
)
def test_no_text_begins_a_line_or_turns_a_terminal(
    formatter: logging.Formatter, character: str, told: Callable[[str], logging.LogRecord]
) -> None:
    line = formatter.format(told(f"a{character}b"))
    assert character not in line
    assert len(line.splitlines()) == 1


def test_no_error_forges_a_line() -> None:
    first, *others = TextFormatter().format(failed(ValueError(FORGED))).splitlines()
    assert first.endswith("failed")
    assert [line for line in others if not line.startswith("  ")] == []
    assert any("forged" in line for line in others)


def test_an_error_is_one_line_of_json() -> None:
    line = JsonFormatter().format(failed(ValueError(FORGED)))
    assert len(line.splitlines()) == 1
    assert "ValueError" in json.loads(line)["exception"]


class Lines:
    """A filter on a clock that only the test moves."""

    def __init__(self) -> None:
        self.time = 0.0
        self.filter = EqualLines(lambda: self.time)

    def written(self, *records: logging.LogRecord) -> list[logging.LogRecord]:
        return [each for each in records if self.filter(each)]


@pytest.fixture
def lines() -> Lines:
    return Lines()


def warnings(number: int, message: str = "%s fails") -> list[logging.LogRecord]:
    return [record(message, each, level=logging.WARNING) for each in range(number)]


def test_so_many_equal_lines_are_written_and_the_next_one_counts_the_others(lines: Lines) -> None:
    assert len(lines.written(*warnings(100))) == EQUAL_LINES
    lines.time += WINDOW
    first, second = lines.written(*warnings(2))
    assert f"left_out={100 - EQUAL_LINES}" in TextFormatter().format(first)
    assert "left_out" not in TextFormatter().format(second)


def test_lines_of_another_kind_are_not_left_out(lines: Lines) -> None:
    lines.written(*warnings(100))
    assert len(lines.written(*warnings(1, "%s is another matter"))) == 1


def test_errors_are_of_one_kind_by_their_type_and_line(lines: Lines) -> None:
    assert len(lines.written(*(failed(ValueError(str(n))) for n in range(100)))) == EQUAL_LINES
    assert lines.written(failed(KeyError()))
    assert lines.written(failed(ValueError(), fail_elsewhere))


def test_lines_of_requests_are_never_left_out(lines: Lines) -> None:
    requests = [record("%s %s", "GET", n) for n in range(100)]
    assert len(lines.written(*requests)) == 100


def test_messages_without_a_template_fill_no_memory(lines: Lines) -> None:
    lines.written(*warnings(EQUAL_LINES))
    for number in range(MOST_KINDS):
        lines.written(*warnings(1, f"made of {number}"))
    assert len(lines.written(*warnings(1))) == 1  # forgotten
