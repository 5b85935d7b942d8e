"""Logs that carry the id of the request or job that wrote them."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request or job at work. Set for each one: a keep-alive connection would otherwise
hand one request's context to the next (python/cpython#140947)."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The caller's trace in the form of W3C Trace Context's header, for jobs and model servers."""

EQUAL_LINES, WINDOW = 5, 30.0
"""Warnings and errors of one kind that are written in so many seconds. Against tables that are
older than the code there were 100,000 lines in two minutes."""

MOST_KINDS = 1000
"""Kinds that are counted at once: a message may be no template, but made of callers' text."""

ESCAPED = {
    code: f"\\u{code:04x}"
    for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F))
}
"""Characters that would begin a new line, or make a terminal show another one than was written."""

OWN = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "request_id", "color_message"}
"""Fields that a log record has by itself, and uvicorn's. All other fields are from `extra=`."""


class TextFormatter(logging.Formatter):
    """One readable line, for people; a traceback is indented, so that none of it looks like one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with its fields from `extra=` and its traceback."""
        fields = "".join(f" {name}={value!r}" for name, value in _extra(record))
        head = f"{_time(record)} {record.levelname:<7} {record.name} [{_id(record)}]"
        lines = [f"{head} {record.getMessage()}{fields}", *_traceback(self, record).splitlines()]
        return "\n  ".join(line.translate(ESCAPED) for line in lines)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with its fields from `extra=` as one line of JSON."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": _id(record),
            "message": record.getMessage(),
        }
        if traceback := _traceback(self, record):
            line["exception"] = traceback
        return _json(line | dict(_extra(record)) | line).translate(ESCAPED)


class EqualLines:
    """A filter that bounds warnings and errors of one kind, and tells how many it has left out.

    They are of one kind if their logger, the template of their message, and the type and line of
    their exception are the same.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kinds: dict[tuple[object, ...], tuple[float, int]] = {}

    def __call__(self, record: logging.LogRecord) -> bool:
        """Return whether to write the record; `left_out` on it says how many were not."""
        if record.levelno < logging.WARNING:
            return True
        kind, now = _kind(record), self._clock()
        began, count = self._kinds.pop(kind, (now, 0))
        if now - began >= WINDOW:
            if count > EQUAL_LINES:
                record.left_out = count - EQUAL_LINES
            began, count = now, 0
        if len(self._kinds) >= MOST_KINDS:
            self._kinds.pop(next(iter(self._kinds)), None)
        self._kinds[kind] = began, count + 1
        return count < EQUAL_LINES


def add_request_id(record: logging.LogRecord) -> bool:
    """Put the current request id on a log record."""
    record.request_id = request_id.get()
    return True


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send all logs to standard error, as JSON in production and as text elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    handler.addFilter(add_request_id)
    handler.addFilter(EqualLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


def _id(record: logging.LogRecord) -> str:
    return getattr(record, "request_id", "-")


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    return ((name, value) for name, value in record.__dict__.items() if name not in OWN)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    error = formatter.formatException(record.exc_info) if record.exc_info else ""
    return "\n".join(filter(None, (error, record.stack_info)))


def _json(line: dict[str, object]) -> str:
    try:
        return json.dumps(line, ensure_ascii=False, default=repr, allow_nan=False)
    except (TypeError, ValueError):  # NaN, a circle, a key that is no text
        plain = {
            name: value if isinstance(value, str) else repr(value) for name, value in line.items()
        }
        return json.dumps(plain, ensure_ascii=False)


def _kind(record: logging.LogRecord) -> tuple[object, ...]:
    kind, _, traceback = record.exc_info or (None, None, None)
    while traceback and traceback.tb_next:
        traceback = traceback.tb_next
    return record.name, str(record.msg), kind, traceback and traceback.tb_lineno
