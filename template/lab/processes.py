"""Processes of the laboratory. Each is tied to this one, and gone with it whatever happens."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from engine.operate.dev.child import PARENT_DEATH

PROJECT = Path(__file__).parents[1]
GRACE = 5.0
LONGEST_LINE = 2**24


@asynccontextmanager
async def running(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    log: Path | None = None,
    descriptors: Sequence[int] = (),
    speaks: bool = False,
) -> AsyncIterator[Process]:
    """Run the command inside the block; where it speaks, its input and output are pipes.

    It has a process group of its own, so that Ctrl-C reaches it by way of this process only.
    """
    output = os.open(log or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-IS", str(PARENT_DEATH), str(os.getpid()), *command),
            stdin=PIPE if speaks else DEVNULL,
            stdout=PIPE if speaks else output,
            stderr=None if speaks else output,
            env={**os.environ, **(environment or {})},
            cwd=PROJECT,
            pass_fds=descriptors,
            process_group=0,
            limit=LONGEST_LINE,
        )
    finally:
        os.close(output)
    try:
        yield process
    finally:
        await end(process, signal.SIGTERM)


async def end(process: Process, number: signal.Signals) -> None:
    """Send the signal; kill what is left of the process and its children after `GRACE` seconds."""
    if process.returncode is not None:
        return
    process.send_signal(number)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE)
    finally:
        with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
