"""The child: reads the document on standard input, writes its chunks to standard output.

It limits itself before it loads a parser, and can open neither file nor socket from there on.
"""

import codecs
import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Iterator
from typing import Any, BinaryIO

from engine.documents.extract.chunks import ChunkStrategy, pack_chunks
from engine.documents.extract.failures import Unreadable, Unsupported
from engine.documents.extract.kinds import Reader, reader_of
from engine.documents.extract.messages import (
    BEGUN,
    END,
    FAULT,
    UNREADABLE,
    UNSUPPORTED,
    ExtractedChunk,
    write_chunk,
    write_message,
)
from engine.process.tokenizer import CountTokens, token_counter

CODECS = ("cp1252", "cp437", "utf-16", "utf-16-be", "utf-16-le", "utf-8-sig")
"""Encodings that the parsers use: Python loads each from a file at its first use."""

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
NO_TEXT = "The document has no text: pages that were scanned need OCR first."
TOO_LONG = "The document has more than {most} chunks. Divide it into several files."
TOO_LARGE = "The document needs more than {memory} MiB of memory to be read. Divide it."


def main() -> None:
    """Read one document. What fails before the begin is told on standard error, and no later."""
    wanted = json.loads(sys.argv[1])
    out = os.fdopen(1, "wb", buffering=1 << 16)
    limit_self(wanted["memory"], wanted["cpu"])
    try:
        read = reader_of(wanted["filename"])
    except Unsupported as error:
        write_message(out, UNSUPPORTED, str(error))
    else:
        count_tokens = token_counter()
        close_doors()
        write_message(out, BEGUN)
        out.flush()
        send(out, chunks_of(read, count_tokens, wanted), wanted["memory"])
    out.flush()


def send(out: BinaryIO, chunks: Iterator[ExtractedChunk], memory: int) -> None:
    """Send the chunks and how they end."""
    try:
        for chunk in chunks:
            write_chunk(out, chunk)
        write_message(out, END)
    except Unsupported as error:
        write_message(out, UNSUPPORTED, str(error))
    except Unreadable as error:
        write_message(out, UNREADABLE, str(error))
    except MemoryError:
        write_message(out, UNREADABLE, TOO_LARGE.format(memory=memory >> 20))
    except Exception:  # noqa: BLE001 -- the parent logs it
        write_message(out, FAULT, traceback.format_exc())


def chunks_of(
    read: Reader, count_tokens: CountTokens, wanted: dict[str, Any]
) -> Iterator[ExtractedChunk]:
    """Yield the chunks. Raise `Unreadable` where they are too many or have no text."""
    empty, most = True, wanted["most_chunks"]
    pieces = read(os.fdopen(0, "rb"))
    chunks = pack_chunks(pieces, ChunkStrategy(*wanted["strategy"]), count_tokens)
    for number, chunk in enumerate(chunks):
        if number == most:
            raise Unreadable(TOO_LONG.format(most=most))
        empty = empty and not chunk.text.strip()
        yield chunk
    if empty:
        raise Unreadable(NO_TEXT)


def limit_self(memory: int, cpu: int) -> None:
    """Take away what no reading needs; the system ends a child that goes over its limits."""
    for kind, limit in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    if sys.platform == "linux":
        prctl: Any = ctypes.CDLL(None).prctl
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def close_doors() -> None:
    """Let no file or socket be opened any more: all numbers of descriptors are taken.

    Standard error leads nowhere then: nobody reads it, and a document could fill it.
    """
    for name in CODECS:
        codecs.lookup(name)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))


if __name__ == "__main__":
    main()
