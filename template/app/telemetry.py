"""Logs that carry the id of the request or job that wrote them."""

import json
import logging
import sys
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")
"""Id of the request or job at work. Set anew for each: a keep-alive connection would otherwise
hand one request's context to the next (python/cpython#140947)."""

traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
"""The caller's trace in the form of W3C Trace Context's header, for jobs and model servers."""


class TextFormatter(logging.Formatter):
    """One readable line, for people."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s")


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for log collectors."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with its fields from `extra=` as one line of JSON."""
        line: dict[str, object] = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "logger": record.name,
            "request_id": getattr(record, "request_id", "-"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def add_request_id(record: logging.LogRecord) -> bool:
    """Put the current request id on a log record."""
    record.request_id = request_id.get()
    return True


def configure_logging(level: str, *, as_json: bool) -> None:
    """Send all logs to standard error, as JSON in production and as text elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else TextFormatter())
    handler.addFilter(add_request_id)
    logging.basicConfig(level=level, handlers=[handler], force=True)
