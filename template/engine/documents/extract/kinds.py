"""Kinds of documents by the end of their names."""

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import PurePosixPath
from typing import BinaryIO, TypeAlias

from engine.documents.extract.chunks import Piece
from engine.documents.extract.failures import Unsupported

Reader: TypeAlias = Callable[[BinaryIO], Iterator[Piece]]

TEXTS = {
    *("bash", "c", "cc", "cfg", "conf", "cpp", "cs", "css", "csv", "diff", "go", "h", "hpp"),
    *("ini", "java", "js", "json", "jsonl", "jsx", "kt", "log", "lua", "markdown", "md", "php"),
    *("pl", "proto", "py", "r", "rb", "rs", "rst", "scala", "sh", "sql", "swift", "tex", "toml"),
    *("ts", "tsv", "tsx", "txt", "xml", "yaml", "yml"),
}
MARKUP = {"docx": "docx", "htm": "html", "html": "html", "pdf": "pdf"}
UNKNOWN = (
    "Files that end in `.{suffix}` are not read. Send PDF, DOCX, HTML, Markdown, CSV, JSON, code or"
    " plain text, with the right end of the name."
)


def reader_of(filename: str) -> Reader:
    """Return what reads a file of this name; one without an end is text.

    Raise `Unsupported` for an end that is not known.
    """
    suffix = PurePosixPath(filename).suffix.lower().removeprefix(".")
    if suffix in TEXTS or not suffix:
        kind = "text"
    elif suffix in MARKUP:
        kind = MARKUP[suffix]
    else:
        raise Unsupported(UNKNOWN.format(suffix=suffix))
    reader: Reader = getattr(import_module(f"engine.documents.extract.{kind}"), f"read_{kind}")
    return reader
