"""Documents for tests: good ones, and one of each kind that does harm."""

import io
import zipfile
import zlib
from collections.abc import Iterator

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
WORDS = "The quick brown fox jumps over the lazy dog. "


def pdf(pages: list[str], *, encrypt: bool = False, stream: bytes | None = None) -> bytes:
    """Return a PDF with these texts, or with one `stream` as the content of each page."""
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for at, text in enumerate(pages):
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        page = f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] {resources}"
        objects.append(f"{page} /Contents {5 + 2 * at} 0 R >>".encode())
        objects.append(_content(text) if stream is None else stream)
    out, places = io.BytesIO(), []
    out.write(b"%PDF-1.4\n")
    for number, each in enumerate(objects, 1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%b\nendobj\n" % (number, each))
    start = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    locked = b""
    if encrypt:
        secret = b"<" + b"ab" * 32 + b">"
        locked = b"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O %b /U %b >> " % (secret, secret)
        locked += b"/ID [<00> <00>] "
    trailer = b"trailer << /Size %d /Root 1 0 R %b>>\nstartxref\n%d\n%%%%EOF\n"
    out.write(trailer % (len(objects) + 1, locked, start))
    return out.getvalue()


def pdf_bomb(size: int) -> bytes:
    """Return a PDF whose page unpacks to `size` bytes of spaces."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(piece) for piece in _spaces(size)) + packer.flush()
    head = b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
    return pdf(["bomb"], stream=head + packed + b"\nendstream")


def docx(paragraphs: list[str]) -> bytes:
    """Return a DOCX with these paragraphs."""
    texts = "".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in paragraphs)
    return docx_of(f'<w:document xmlns:w="{WORD}"><w:body>{texts}</w:body></w:document>'.encode())


def docx_of(*pieces: bytes, name: str = "word/document.xml") -> bytes:
    """Return an archive with this XML."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        file.writelines(pieces)
    return out.getvalue()


def docx_bomb(size: int) -> bytes:
    """Return a DOCX that unpacks to `size` bytes of spaces."""
    begin = f'<w:document xmlns:w="{WORD}"><w:body><w:p><w:r><w:t>'.encode()
    return docx_of(begin, *_spaces(size), b"</w:t></w:r></w:p></w:body></w:document>")


def docx_that_lies(size: int) -> bytes:
    """Return such a bomb whose directory says that it unpacks to 100 bytes."""
    data = bytearray(docx_bomb(size))
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = (100).to_bytes(4, "little")
    return bytes(data)


def docx_with_entities() -> bytes:
    """Return a DOCX of a few bytes whose entities unfold to gigabytes."""
    entities = '<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    body = f'<w:document xmlns:w="{WORD}"><w:p><w:r><w:t>&i;</w:t></w:r></w:p></w:document>'
    return docx_of(f"<!DOCTYPE x [{entities}]>{body}".encode())


def long_text(size: int) -> Iterator[bytes]:
    """Yield `size` bytes of sentences that differ."""
    made = number = 0
    while made < size:
        piece = "".join(f"{at}: {WORDS}\n" for at in range(number, number + 1000)).encode()
        yield piece
        made, number = made + len(piece), number + 1000


def _content(text: str) -> bytes:
    escaped = text.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    lines = " ".join(f"({line}) Tj T*" for line in escaped.split("\n"))
    drawn = f"BT /F1 12 Tf 14 TL 72 720 Td {lines} ET".encode("latin-1")
    return b"<< /Length %d >>\nstream\n%b\nendstream" % (len(drawn), drawn)


def _spaces(size: int) -> Iterator[bytes]:
    piece = b" " * (1 << 20)
    for _ in range(size >> 20):
        yield piece
