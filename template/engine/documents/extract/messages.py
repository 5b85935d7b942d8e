"""Messages from the child to its parent: a header of fixed length, then UTF-8 text."""

from struct import Struct
from typing import BinaryIO, NamedTuple

CHUNK, UNREADABLE, FAULT, END, UNSUPPORTED, BEGUN = range(6)
"""Kinds: a chunk, a document that cannot be read, an error of the child itself, the end, a kind of
file that is not read, the begin: all libraries are loaded, and what fails from there on is the
document.
"""

HEADER = Struct("<BIIII")
NO_PAGE = 0xFFFF_FFFF


class ExtractedChunk(NamedTuple):
    """A chunk of a document. Its first `repeated` characters are the end of the one before.

    `page` is that of its first word, from 1, or None in a document without pages.
    """

    text: str
    tokens: int
    repeated: int
    page: int | None


class Header(NamedTuple):
    """The header of a message; `length` counts the bytes of the text behind it."""

    kind: int
    length: int
    tokens: int
    repeated: int
    page: int


def write_chunk(out: BinaryIO, chunk: ExtractedChunk) -> None:
    """Send a chunk."""
    data = chunk.text.encode()
    page = NO_PAGE if chunk.page is None else chunk.page
    out.write(HEADER.pack(CHUNK, len(data), chunk.tokens, chunk.repeated, page) + data)


def write_message(out: BinaryIO, kind: int, text: str = "") -> None:
    """Send a message of another kind."""
    data = text.encode(errors="replace")
    out.write(HEADER.pack(kind, len(data), 0, 0, NO_PAGE) + data)


def read_header(data: bytes) -> Header:
    """Return the header in these bytes."""
    return Header(*HEADER.unpack(data))


def chunk_of(header: Header, data: bytes) -> ExtractedChunk:
    """Return the chunk of a message."""
    page = None if header.page == NO_PAGE else header.page
    return ExtractedChunk(data.decode(errors="replace"), header.tokens, header.repeated, page)
