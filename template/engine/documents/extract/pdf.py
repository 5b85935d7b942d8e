"""PDF: the text of its pages, by PDFium.

PDFium is not safe with threads, and it aborts where memory is lacking: it needs this process.
"""

from collections.abc import Iterator
from typing import BinaryIO

import pypdfium2
from pypdfium2 import raw

from engine.documents.extract.chunks import Piece
from engine.documents.extract.failures import Unreadable

LOCKED = "The PDF is locked by a password. Send it without one."
BROKEN = "The file is no PDF, or it is broken. Save it anew."


def read_pdf(file: BinaryIO) -> Iterator[Piece]:
    """Yield the text of each page. Raise `Unreadable` for a file that is broken or locked."""
    try:
        document = pypdfium2.PdfDocument(file)
    except pypdfium2.PdfiumError as error:
        locked = error.err_code == raw.FPDF_ERR_PASSWORD
        raise Unreadable(LOCKED if locked else BROKEN) from error
    for number in range(len(document)):
        try:
            page = document[number]
            text = page.get_textpage()
        except pypdfium2.PdfiumError as error:
            raise Unreadable(f"Page {number + 1} of the PDF is broken. Save it anew.") from error
        yield Piece(text.get_text_bounded().replace("\r\n", "\n") + "\n", number + 1)
        text.close()
        page.close()
