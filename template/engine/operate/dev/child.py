"""A child process that is kept running, its output marked with its name."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import typer

from engine.process.backoff import backoff

PARENT_DEATH = Path(__file__).with_name("parent_death.py")
STABLE = 10.0  # seconds of life after which earlier failures are forgotten
LONGEST_DELAY = 15.0
LONGEST_LINE = 64 * 1024


class Child:
    """A process that is restarted whenever it ends, with back-off if it ends at once.

    It has a process group of its own: Ctrl-C in the terminal reaches only the parent, which then
    stops its children in order, and processes that a child leaves behind can be ended with it.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        grace: float = 30.0,
        colour: str = typer.colors.WHITE,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = {**os.environ, **(environment or {}), "PYTHONUNBUFFERED": "1"}
        self._pass_fds = pass_fds
        self._grace = grace
        self._colour = colour
        self._process: Process | None = None
        self._start_now = asyncio.Event()
        self._stopping = False

    async def keep_running(self) -> None:
        """Run until `stop` is called."""
        failures = 0
        while not self._stopping:
            self._start_now.clear()
            started = time.monotonic()
            code = await self._run_once()
            if self._start_now.is_set():
                failures = 0
                continue
            failures = 0 if time.monotonic() - started > STABLE else failures + 1
            delay = backoff(failures, 0.25, LONGEST_DELAY)
            self.say(f"ended with code {code}; starts again in {delay:.1f} s or when code changes")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._start_now.wait(), delay)

    def restart(self, grace: float) -> None:
        """Restart, at once where the back-off waits; kill it if it does not end in `grace` s."""
        self._start_now.set()
        self._end(grace)

    def stop(self) -> None:
        """Ask for the end of the process and of `keep_running`."""
        self._stopping = True
        self.restart(self._grace)

    def kill(self) -> None:
        """End the process and all that it started at once."""
        if self._process:
            _kill_group(self._process)

    def say(self, line: str) -> None:
        """Print a line under the name of this child."""
        mark = typer.style(f"{self.name:>6} | ", fg=self._colour)
        typer.echo(mark + line, color=False if "NO_COLOR" in os.environ else None)

    async def _run_once(self) -> int:
        output, theirs = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-IS", PARENT_DEATH, str(os.getpid())),
                *self._command,
                stdin=DEVNULL,
                stdout=theirs,
                stderr=theirs,
                env=self._environment,
                pass_fds=self._pass_fds,
                process_group=0,
            )
        finally:
            os.close(theirs)
        self._process = process
        if self._stopping:
            self._end(self._grace)
        printing = asyncio.create_task(self._print(output))
        code = await process.wait()
        self._process = None
        _kill_group(process)
        await printing
        return code

    def _end(self, grace: float) -> None:
        if process := self._process:
            with suppress(ProcessLookupError):
                process.terminate()
            asyncio.get_running_loop().call_later(grace, self._kill_if_alive, process)

    def _kill_if_alive(self, process: Process) -> None:
        if process.returncode is None:
            self.say("did not end in time and is killed")
            _kill_group(process)

    async def _print(self, output: int) -> None:
        async for line in _lines(output):
            self.say(line.decode(errors="replace"))


@asynccontextmanager
async def running(child: Child) -> AsyncIterator[None]:
    """Keep the child running inside the `async with`."""
    task = asyncio.create_task(child.keep_running())
    try:
        yield
    finally:
        child.stop()
        await task


async def _lines(pipe: int) -> AsyncIterator[bytes]:
    """Yield the lines that come out of the pipe; one without an end comes in pieces."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", 0)
    )
    rest = b""
    while chunk := await reader.read(LONGEST_LINE):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest
    transport.close()


def _kill_group(process: Process) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        os.killpg(process.pid, signal.SIGKILL)
