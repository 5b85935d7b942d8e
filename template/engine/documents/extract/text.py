"""Text of any kind: Markdown, code, CSV, JSON. All of it must fit its encoding."""

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from engine.documents.extract.chunks import Piece
from engine.documents.extract.failures import Unreadable, Unsupported

PIECE = 1 << 20
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
BINARY = "The file is no text: it has bytes that no text has. Send text as UTF-8."


def read_text(file: BinaryIO) -> Iterator[Piece]:
    """Yield a text piece by piece. Raise `Unsupported` for bytes that are none."""
    for text in decoded(file):
        yield Piece(text)


def decoded(file: BinaryIO) -> Iterator[str]:
    """Yield the text of a file in its encoding: UTF-8, UTF-16 by its mark, or Windows-1252."""
    decoder = codecs.getincrementaldecoder(encoding_of(file))()
    file.seek(0)
    done = 0
    try:
        while data := file.read(PIECE):
            yield decoder.decode(data)
            done += len(data)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        message = f"The text is broken near byte {done + error.start}. Send it as UTF-8."
        raise Unreadable(message) from error


def encoding_of(file: BinaryIO) -> str:
    """Return the encoding of a file. Raise `Unsupported` where it is no text.

    UTF-8 may have control characters, such as the backspaces of a manual page, but no NUL.
    """
    beginning = file.read(4)
    for mark, encoding in MARKS.items():
        if beginning.startswith(mark):
            return encoding
    file.seek(0)
    decoder, is_utf8, has_controls = codecs.getincrementaldecoder("utf-8")(), True, False
    while data := file.read(PIECE):
        has_controls = has_controls or bool(CONTROLS.search(data))
        if b"\0" in data or (has_controls and not is_utf8):
            raise Unsupported(BINARY)
        try:
            decoder.decode(data if is_utf8 else b"")
        except UnicodeDecodeError:
            is_utf8 = False
            decoder.reset()
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        is_utf8 = False
    if has_controls and not is_utf8:
        raise Unsupported(BINARY)
    return "utf-8" if is_utf8 else "cp1252"
