"""DOCX: the paragraphs of its body, by a zip reader and a pulling XML parser.

The sizes in an archive may lie, so the bytes that come out are counted.
"""

import zlib
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from engine.documents.extract.chunks import Piece
from engine.documents.extract.failures import Unreadable

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
BODY = "word/document.xml"
STEP = 1 << 16
MOST_UNPACKED = 100 << 20
BETWEEN = {"tab": "\t", "br": "\n", "cr": "\n"}
OVER = {"p": "\n", "tc": "\t"}


class BodyText:
    """Collects the text of a body from the parser's events."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._inside = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.StartDoctypeDeclHandler = self._refuse

    def taken(self) -> str:
        """Return the text since the last time."""
        text, self._texts = "".join(self._texts), []
        return text

    def _start(self, tag: str, _attributes: object) -> None:
        name = tag.removeprefix(WORD)
        self._inside = name == "t"
        self._texts.append(BETWEEN.get(name, ""))

    def _end(self, tag: str) -> None:
        self._inside = False
        self._texts.append(OVER.get(tag.removeprefix(WORD), ""))

    def _data(self, text: str) -> None:
        if self._inside:
            self._texts.append(text)

    def _refuse(self, *_: object) -> None:
        raise Unreadable("The document declares a document type, which no DOCX does.")


def read_docx(file: BinaryIO) -> Iterator[Piece]:
    """Yield the text. Raise `Unreadable` for an archive that is broken, locked or a bomb."""
    body, unpacked = BodyText(), 0
    try:
        with ZipFile(file) as archive, archive.open(BODY) as xml:
            while data := xml.read(STEP):
                unpacked += len(data)
                if unpacked > MOST_UNPACKED:
                    raise Unreadable(
                        f"The document unpacks to more than {MOST_UNPACKED >> 20} MiB of text."
                        " Divide it into several files."
                    )
                body.parser.Parse(data)
                yield Piece(body.taken())
        body.parser.Parse(b"", True)  # noqa: FBT003 -- it takes no names
    except (BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        message = "The file is no DOCX, or it is broken or locked by a password. Save it anew."
        raise Unreadable(message) from error
    except expat.ExpatError as error:
        raise Unreadable("The XML of the document is broken. Save it anew.") from error
    yield Piece(body.taken())
