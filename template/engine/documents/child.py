"""Reads a document in a child process, which is limited, and killed where it goes too far.

No parser runs in a worker: a hostile file can take down the child alone. It has no environment,
and one file. The pipe is the back-pressure: the child waits while its chunks are written.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import engine
from engine.documents.extract.chunks import ChunkStrategy
from engine.documents.extract.messages import (
    BEGUN,
    CHUNK,
    END,
    HEADER,
    UNREADABLE,
    UNSUPPORTED,
    ExtractedChunk,
    Header,
    chunk_of,
    read_header,
)
from engine.errors import LONGEST_MESSAGE, AppError, readable_error
from engine.process.tasks import run_uncut

log = logging.getLogger(__name__)

LOST = "It could not be read within {seconds:g} s and {memory} MiB. Divide it, or save it anew."
CODES = {UNREADABLE: "invalid_file", UNSUPPORTED: "unsupported_file"}
NOT_BEGUN = (
    "The child that reads documents ended before it read: {error}. "
    "`uv sync --group documents` brings its libraries; DOCUMENT_MEMORY must have room for them."
)
PROGRAM = ("-m", "engine.documents.extract")
FOLDER = Path(engine.__file__).parents[1]
"""The folder of `engine`: the child begins in it, and need not have the project installed."""
MOST_TEXT = 1 << 20
"""Bytes of one message: a chunk of 4,096 tokens has far less."""
LONGEST_NAME = 255
"""Characters of a name that the child is told: their end decides how it reads."""


class DocumentError(AppError):
    """A document that cannot be read; another try would end the same."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class ChildStartError(Exception):
    """A child that did not begin, as where a library is missing: no fault of the document."""


@dataclass(frozen=True, slots=True)
class ChildLimits:
    """Limits of one child. `seconds` are those of the processor, `wall` of its own time."""

    memory: int = 1 << 30
    seconds: float = 300.0
    wall: float = 600.0
    chunks: int = 100_000


@asynccontextmanager
async def extract_chunks(
    file: BinaryIO, filename: str, strategy: ChunkStrategy, limits: ChildLimits
) -> AsyncIterator[AsyncIterator[ExtractedChunk]]:
    """Yield the chunks of an open file, in their order; the child ends with the context.

    Raise `DocumentError` for a file that is not read: of an unknown kind, broken, locked, without
    text, or too much for the limits. Raise `ChildStartError` where no child can read at all.
    """
    wanted = {
        "filename": filename[-LONGEST_NAME:],
        "strategy": strategy,
        "memory": limits.memory,
        "cpu": round(limits.seconds),
        "most_chunks": limits.chunks,
    }
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-Es", *PROGRAM, json.dumps(wanted)),
        cwd=FOLDER,
        stdin=file,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
        start_new_session=True,
    )
    try:
        yield _chunks(child, limits)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        # `wait` waits for the end of its output too, which does not come where nobody reads it.
        await run_uncut(child.communicate())


async def _chunks(
    child: asyncio.subprocess.Process, limits: ChildLimits
) -> AsyncIterator[ExtractedChunk]:
    left = limits.wall  # without the time in which the child waits for its chunks to be written
    lost = LOST.format(seconds=limits.seconds, memory=limits.memory >> 20)
    begun = False
    for _ in range(limits.chunks + 2):  # a child that a file has taken over may never end
        began = time.monotonic()
        try:
            async with asyncio.timeout(left):
                header, data = await _message(child)
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            if not begun:
                raise await _no_begin(child) from error
            raise DocumentError("invalid_file", lost) from error
        left -= time.monotonic() - began
        if header.kind == BEGUN:
            begun = True
        elif header.kind == CHUNK:
            yield chunk_of(header, data)
        elif header.kind == END:
            return
        else:
            raise _failure(header.kind, data.decode(errors="replace"))
    raise DocumentError("invalid_file", lost)


async def _no_begin(child: asyncio.subprocess.Process) -> ChildStartError:
    with suppress(ProcessLookupError):
        child.kill()
    _, said = await child.communicate()
    lines = said.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return ChildStartError(NOT_BEGUN.format(error=lines[-1]))


def _failure(kind: int, text: str) -> DocumentError:
    if kind in CODES:
        return DocumentError(CODES[kind], readable_error(text, LONGEST_MESSAGE))
    log.error("the child that reads documents failed: %s", text[-LONGEST_MESSAGE:])
    return DocumentError("invalid_file", "The document could not be read. Save it anew.")


async def _message(child: asyncio.subprocess.Process) -> tuple[Header, bytes]:
    if child.stdout is None:
        raise TypeError("the child has no output")
    header = read_header(await child.stdout.readexactly(HEADER.size))
    if header.length > MOST_TEXT:
        raise asyncio.IncompleteReadError(b"", header.length)
    return header, await child.stdout.readexactly(header.length)
