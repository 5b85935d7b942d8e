"""Each kind of document is read in the child; each that does harm ends with a clear error."""

import re
from collections.abc import Callable
from functools import partial

import pytest

from engine.documents.child import ChildLimits
from engine.documents.extract.chunks import ChunkStrategy
from tests.documents import files
from tests.documents.reading import read, refused, text_of

PAGE = b"""<html><head><title>x</title></head><body><script>1 < 2</script><p>One &amp;
two</p><p>Three</p></body></html>"""
pytestmark = pytest.mark.anyio

SMALL = ChildLimits(memory=512 << 20, seconds=20, wall=60)


@pytest.mark.parametrize(
    ("data", "filename", "text"),
    [
        ("Grüße, 世界!".encode(), "a.txt", "Grüße, 世界!"),
        (b"\xef\xbb\xbfwith a mark", "a.md", "with a mark"),
        ("Größe".encode("utf-16"), "a.csv", "Größe"),
        ("Größe".encode("cp1252"), "a.TXT", "Größe"),
        (b'{"a": [1, 2]}', "a.json", '{"a": [1, 2]}'),
        (b"def f():\n    return 1\n", "a.py", "def f():\n    return 1\n"),
        (b"no end of a name", "README", "no end of a name"),
        (b"N\x08NAME", "manual.txt", "N\x08NAME"),
        (b"one", "a" * 300_000 + ".txt", "one"),
        (files.docx(["One &amp; two", "Three"]), "a.docx", "One & two\nThree\n"),
        (
            PAGE,
            "a.html",
            "\nOne & two\n\nThree\n",
        ),
    ],
)
async def test_a_document_is_read(data: bytes, filename: str, text: str) -> None:
    assert text_of(await read(data, filename)) == text


async def test_a_pdf_is_read_page_by_page() -> None:
    pages = [f"Page {number} has words." for number in range(1, 4)]
    chunks = await read(files.pdf(pages), "a.pdf", ChunkStrategy(100, 0))
    assert all(page in chunks[0].text for page in pages)
    assert chunks[0].page == 1


async def test_a_cell_of_a_table_ends_with_a_tab() -> None:
    row = "<w:tr><w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc></w:tr>"
    rows = "".join(row.format(text) for text in ("left", "right"))
    xml = f'<w:document xmlns:w="{files.WORD}"><w:tbl>{rows}</w:tbl></w:document>'.encode()
    assert text_of(await read(files.docx_of(xml), "a.docx")).split() == ["left", "right"]


@pytest.mark.parametrize(
    ("data", "filename", "code", "message"),
    [
        (b"MZ\x90\0", "setup.exe", "unsupported_file", r"`\.exe` are not read. Send PDF"),
        (b"\x89PNG\r\n", "scan.png", "unsupported_file", r"`\.png` are not read"),
        (bytes(range(256)) * 400, "noise.txt", "unsupported_file", "no text: .* Send text"),
        (b"\x81\x8d\x8f", "odd.txt", "invalid_file", "broken near byte 0"),
        (b"\xe9" * 2_000_000 + b"\x81", "later.txt", "invalid_file", "broken near byte 2000000"),
        (b"one\0two", "nul.txt", "unsupported_file", "no text: .* Send text"),
        (b"\xe9\x01", "control.txt", "unsupported_file", "no text: .* Send text"),
        ("ab".encode("utf-16")[:-1], "half.txt", "invalid_file", "broken near byte"),
        (b"", "empty.txt", "invalid_file", "has no text"),
        (b" \n\t ", "blank.md", "invalid_file", "has no text"),
        (files.pdf([""]), "scanned.pdf", "invalid_file", "scanned need OCR"),
        (files.pdf(["x"], encrypt=True), "locked.pdf", "invalid_file", "password"),
        (b"%PDF-1.4 garbage", "broken.pdf", "invalid_file", "no PDF, or it is broken"),
        (b"plain", "text.pdf", "invalid_file", "no PDF"),
        (files.docx(["x"])[:-30], "cut.docx", "invalid_file", "no DOCX, or it is broken"),
        (b"plain", "text.docx", "invalid_file", "no DOCX"),
        (files.docx_of(b"x", name="other.xml"), "other.docx", "invalid_file", "no DOCX"),
        (files.docx_of(b"<a><b></a>"), "xml.docx", "invalid_file", "XML .* is broken"),
        (files.docx_with_entities(), "laughs.docx", "invalid_file", "document type"),
        (
            partial(files.docx_bomb, 128 << 20),
            "bomb.docx",
            "invalid_file",
            "unpacks to more than 100 MiB",
        ),
        (
            partial(files.docx_that_lies, 128 << 20),
            "lies.docx",
            "invalid_file",
            "DOCX|unpacks to more",
        ),
        (
            partial(files.pdf_bomb, 1 << 30),
            "bomb.pdf",
            "invalid_file",
            "could not be read within|no text",
        ),
    ],
    ids=lambda value: value if re.fullmatch(r"\w+\.\w+", str(value)) else "",
)
async def test_a_bad_document_ends_with_a_clear_error(
    data: bytes | Callable[[], bytes], filename: str, code: str, message: str
) -> None:
    found = await refused(data if isinstance(data, bytes) else data(), filename, SMALL)
    assert found.code == code
    assert re.search(message, found.message), found.message


async def test_a_pdf_of_thousands_of_pages_is_read() -> None:
    pages = [f"This is page {number}. {files.WORDS}" for number in range(2000)]
    chunks = await read(files.pdf(pages), "long.pdf", limits=SMALL)
    assert "This is page 1999." in chunks[-1].text


async def test_a_text_that_has_no_end_of_a_line_is_cut() -> None:
    chunks = await read(b"a" * (1 << 20), "line.txt", ChunkStrategy(100, 50), SMALL)
    assert all(chunk.tokens <= 100 for chunk in chunks)
    assert len(text_of(chunks)) == 1 << 20


async def test_a_line_of_a_million_characters_is_cut() -> None:
    line = b"ab " * 345_000 + b"\n"
    chunks = await read(line + b"end", "line.txt", limits=SMALL)
    assert text_of(chunks).encode() == line + b"end"


async def test_a_document_of_too_many_chunks_is_refused() -> None:
    limits = ChildLimits(chunks=3)
    found = await refused(files.WORDS.encode() * 2000, "long.txt", limits)
    assert found.code == "invalid_file"
    assert found.message == "The document has more than 3 chunks. Divide it into several files."
