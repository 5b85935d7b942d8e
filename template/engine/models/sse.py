"""Server-sent events of a model server, read piece by piece as they come."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import msgspec

from engine.errors import AppError, ModelUnavailable
from engine.models.reading import (
    BOM,
    CHAT,
    ENDS,
    NO_JSON,
    NOT_OPENAI,
    RESPONSE_EVENT,
    Chat,
    decode_answer,
    is_error,
    read_chat,
    read_json,
)
from engine.models.refusals import refusal_within

NO_STREAM = "The model server does not stream its answer, as it was asked to."
BROKE_OFF = "The model server broke off its answer."

END = b"\n\n"
DONE = b"[DONE]"
FIRST = {"response.created", "response.queued", "response.in_progress"}
LAST = {f"response.{status}" for status in ENDS}


class ServerEvents(ABC):
    """Reads the stream of one answer. Each byte is looked at once, however large its event is."""

    def __init__(self) -> None:
        self.usage: Any = None
        self.generated = 0
        """Events with a piece of the answer."""
        self.begun = False
        """Whether there was anything to pass on."""
        self.done = False
        """Whether the server has said that this is all."""
        self._opened = False
        self._pieces: list[bytes] = []
        self._after_return = False
        self._at_start = True

    @property
    @abstractmethod
    def complete(self) -> bool:
        """Whether nothing of the answer is missing."""

    @abstractmethod
    def takes(self, piece: bytes) -> bool:
        """Return whether a piece can be passed on as it is; if not, `feed` it."""

    @abstractmethod
    def _read(self, event: bytes) -> bytes:
        """Return an event as it is to be passed on, empty where it is not."""

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the events that end in this piece, as they are to be passed on.

        Raise `AppError` for an event that is an error or no chunk, after the events before it.
        """
        passed: list[bytes] = []
        error: AppError | None = None
        try:
            for event in self._cut(piece):
                passed.append(self._read(event))
                if self.done:
                    break
        except AppError as failed:
            error = failed
        if events := b"".join(passed):
            self.begun = True
            yield events
        if error:
            raise error

    def end(self) -> Iterator[bytes]:
        """Yield the last events at the end of the body. Raise `AppError` where it is too early."""
        if not self.done:
            yield from self.feed(END)
        if not self.complete:
            raise ModelUnavailable(BROKE_OFF if self.begun or self._opened else NOT_OPENAI)

    def _cut(self, piece: bytes) -> list[bytes]:
        """Return the events that are whole now, and keep the rest."""
        if self._after_return or b"\r" in piece:
            piece = self._with_line_feeds(piece)
        at = piece.rfind(END) + len(END)
        if at < len(END):
            halved = self._pieces and self._pieces[-1].endswith(b"\n")
            at = 1 if halved and piece.startswith(b"\n") else 0
        head, rest = piece[:at], piece[at:]
        pieces, self._pieces = [*self._pieces, head], [rest] if rest else []
        if not at:
            self._pieces = pieces[:-1] + self._pieces
            return []
        block = b"".join(pieces)
        if self._at_start:
            self._at_start, block = False, block.removeprefix(BOM)
        return block.strip(b"\n").split(END)

    def _with_line_feeds(self, piece: bytes) -> bytes:
        if self._after_return:
            piece = piece.removeprefix(b"\n")  # the second half of a CRLF
        self._after_return = piece.endswith(b"\r")
        return piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


class Events(ServerEvents):
    """Reads chunks of a chat."""

    def __init__(self, choices: int, *, usage_wanted: bool) -> None:
        super().__init__()
        self._choices = choices
        self._usage_wanted = usage_wanted
        self._ended: set[str] = set()

    @property
    def complete(self) -> bool:
        """Whether each choice has its `finish_reason`, or `[DONE]` has come."""
        return self.done or len(self._ended) >= self._choices

    def takes(self, piece: bytes) -> bool:
        """Return whether a piece is one chunk that can be passed on as it is; if not, `feed` it.

        Most pieces are, and `feed` costs twice as much.
        """
        if self._pieces or self._after_return or not piece.endswith(END) or b"\r" in piece:
            return False
        fields = _as_it_is(piece)
        if fields is None:
            return False
        self._note(fields)
        self.begun = True
        return True

    def _read(self, event: bytes) -> bytes:
        if fields := _as_it_is(event):
            self._note(fields)
            return event + END
        data = _data(event)
        self.done = data == DONE
        if self.done and not (self.generated or self.begun):
            raise ModelUnavailable(NOT_OPENAI)
        if self.done or not data:
            return b""
        data, fields = read_json(data, CHAT)
        if not fields.choices and is_error(data):
            raise refusal_within(data)
        self._note(fields)
        self.usage = fields.usage or self.usage
        wanted = fields.choices or not fields.usage or self._usage_wanted
        return b"data: " + data + END if wanted else b""

    def _note(self, fields: Chat) -> None:
        self.generated += bool(fields.choices)
        for choice in fields.choices or ():
            if choice.finish_reason:
                self._ended.add(str(choice.index))


class ResponseEvents(ServerEvents):
    """Reads events of a response, and passes them on from its first item to its end."""

    @property
    def complete(self) -> bool:
        """Whether the event with the whole response has come."""
        return self.done

    def takes(self, _piece: bytes) -> bool:
        """Return False: each event is read."""
        return False

    def _read(self, event: bytes) -> bytes:
        data = _data(event)
        if not data or data == DONE:
            return b""
        data, fields = read_json(data, RESPONSE_EVENT)
        kind, response = fields.type, fields.response
        if kind == "error":
            raise refusal_within(data)
        if kind == "response.failed" and response:
            raise refusal_within(msgspec.json.encode(response.error or {}))
        if not isinstance(kind, str) or (kind in LAST and not response):
            raise ModelUnavailable(NOT_OPENAI)
        self._opened = True
        if kind in FIRST or not kind.startswith("response."):
            return b""
        self.generated += kind.endswith(".delta")
        if kind in LAST and response:
            self.done, self.usage = True, response.usage
        return b"data: " + data + END


def _as_it_is(event: bytes) -> Chat | None:
    """Return the fields of a chunk that says nothing of the usage or an error."""
    if not event.startswith(b"data:"):
        return None
    try:
        fields = decode_answer(event[5:], CHAT)
    except NO_JSON:
        return None  # not JSON alone: several events, or one with an id
    return fields if fields.choices and fields.usage is None and fields.error is None else None


def _data(event: bytes) -> bytes:
    if event.lstrip()[:1] in (b"{", b"["):  # no event at all: a server that does not stream
        read_chat(event)
        raise ModelUnavailable(NO_STREAM)
    lines = [line for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"".join(line.removeprefix(b"data:").strip() for line in lines)
