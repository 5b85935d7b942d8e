"""Chunks: text is packed by line, sentence and word, up to a number of tokens, with an overlap.

A stream: it holds one chunk and the unfinished end of the text. The recall of finer ways could not
be told apart from that of this one, at 2 to 8 MB/s.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from engine.documents.extract.messages import ExtractedChunk
from engine.process.tokenizer import CountTokens

VERSION = 1
"""Of these rules: a file whose chunks were begun by other ones is begun again."""

END = re.compile(r"(?<=\n)|(?<=[.!?…]\s)|(?<=[\u3002\uff01\uff1f])")
LONGEST = 2000
"""Characters of a sentence, after which it is cut: each half of it is counted anew."""

LOST = dict.fromkeys([0, *range(0xD800, 0xE000)])
"""NUL and halves of characters: no database keeps them."""


class ChunkStrategy(NamedTuple):
    """The longest chunk, and how much of its end the next one repeats at most, in tokens."""

    max_tokens: int = 800
    overlap: int = 400


class Piece(NamedTuple):
    """A piece of a document's text, with the page on which it stands."""

    text: str
    page: int | None = None


class Segment(NamedTuple):
    """A sentence or a part of one, which no chunk divides."""

    text: str
    tokens: int
    page: int | None


def pack_chunks(
    pieces: Iterable[Piece], strategy: ChunkStrategy, count: CountTokens
) -> Iterator[ExtractedChunk]:
    """Yield the chunks of a text. Without what chunks repeat they are the whole text."""
    held: list[Segment] = []
    tokens = repeated = 0
    for segment in split_segments(pieces, strategy.max_tokens, count):
        if held and tokens + segment.tokens > strategy.max_tokens:
            yield _chunk(held, repeated)
            held = _overlap(held, strategy, segment.tokens)
            tokens = sum(each.tokens for each in held)
            repeated = sum(len(each.text) for each in held)
        held.append(segment)
        tokens += segment.tokens
    if held:
        yield _chunk(held, repeated)


def split_segments(pieces: Iterable[Piece], most: int, count: CountTokens) -> Iterator[Segment]:
    """Yield the sentences of a text, none longer than a half of `most` tokens."""
    for text, page in _sentences(pieces):
        yield from _halved(text, page, max(most // 2, 1), count)


def _sentences(pieces: Iterable[Piece]) -> Iterator[Piece]:
    rest, begun = "", None
    for piece in pieces:
        text = piece.text.translate(LOST)
        if not rest:
            begun = piece.page
        *whole, rest = (part for each in END.split(rest + text) for part in _cut(each))
        for each in whole:
            if each:
                yield Piece(each, begun)
            begun = piece.page
    if rest:
        yield Piece(rest, begun)


def _cut(text: str) -> list[str]:
    return [text[at : at + LONGEST] for at in range(0, max(len(text), 1), LONGEST)]


def _halved(text: str, page: int | None, most: int, count: CountTokens) -> Iterator[Segment]:
    """Yield a sentence, or its halves where it is too long, cut between words if there are some."""
    tokens = count(text)
    if tokens <= most or len(text) == 1:
        yield Segment(text, tokens, page)
        return
    middle = len(text) // 2
    space = max(text.rfind(" ", 1, middle), text.rfind("\n", 1, middle)) + 1
    cut = space if space > 1 else middle
    yield from _halved(text[:cut], page, most, count)
    yield from _halved(text[cut:], page, most, count)


def _overlap(held: list[Segment], strategy: ChunkStrategy, following: int) -> list[Segment]:
    """Return the last segments that the next chunk repeats, beside the one that follows."""
    room = min(strategy.overlap, strategy.max_tokens - following)
    at = len(held)
    while at > 1 and held[at - 1].tokens <= room:  # never all: chunks must come on
        at -= 1
        room -= held[at].tokens
    return held[at:]


def _chunk(held: list[Segment], repeated: int) -> ExtractedChunk:
    text = "".join(each.text for each in held)
    tokens = sum(each.tokens for each in held)
    return ExtractedChunk(text, tokens, repeated, held[0].page)
