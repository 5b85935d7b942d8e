"""HTML: its visible text, a line for each block."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import BinaryIO

from engine.documents.extract.chunks import Piece
from engine.documents.extract.text import decoded

HIDDEN = {"head", "noscript", "script", "style", "template"}
BLOCKS = {
    *("address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav", "ol", "p", "pre"),
    *("section", "table", "tr", "ul"),
}
CELLS = {"td", "th"}
STEP = 1 << 16


class VisibleText(HTMLParser):
    """Collects the visible text of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._hidden = 0
        self._texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Enter an element."""
        self._hidden += tag in HIDDEN
        if tag in BLOCKS:
            self._texts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element; an end without a beginning changes nothing."""
        if tag in HIDDEN:
            self._hidden = max(0, self._hidden - 1)
        if tag in BLOCKS:
            self._texts.append("\n")
        if tag in CELLS:
            self._texts.append("\t")

    def handle_data(self, data: str) -> None:
        """Take a text: line ends within it are spaces."""
        if not self._hidden:
            self._texts.append(" ".join(data.split("\n")))

    def taken(self) -> str:
        """Return the text since the last time."""
        text, self._texts = "".join(self._texts), []
        return text


def read_html(file: BinaryIO) -> Iterator[Piece]:
    """Yield the visible text. Raise `Unsupported` for bytes that are no text."""
    parser = VisibleText()
    for text in decoded(file):
        for at in range(0, len(text), STEP):
            parser.feed(text[at : at + STEP])
            yield Piece(parser.taken())
    parser.close()
    yield Piece(parser.taken())
