"""A rendered project as a running service: started with its own command, stopped as Ctrl-C does."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from openai import OpenAI

START_LIMIT = 60.0  # seconds; a local model takes a few
STOP_LIMIT = 60.0
CLEAN_CODES = {0, 128 + signal.SIGINT}
KEPT = (
    *("HOME", "LANG", "LC_", "NODE_EXTRA_CA_CERTS", "NO_COLOR", "NPM_", "PATH", "PIP_", "SSL_"),
    *("TERM", "TMPDIR", "UV_", "XDG_", "npm_"),
)


class Failed(Exception):
    """The project does not do what it should; the message shows what is known."""


@dataclass(frozen=True, slots=True)
class Service:
    """A project that answers at `url`."""

    project: Path
    url: str

    @property
    def key(self) -> str:
        """The API key that `app dev` made."""
        return (self.project / ".data" / "development.key").read_text().strip()

    def client(self) -> OpenAI:
        """Return the official client, pointed at this service."""
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key)


def environment(**more: str) -> dict[str, str]:
    """Return this process's variables without the caller's settings and virtual environments.

    A `DATABASE_URL` of the caller's, above all, is none of a demo's business.
    """
    foreign = {"UV_PROJECT_ENVIRONMENT"}
    proxies = {"http_proxy", "https_proxy", "no_proxy", "all_proxy"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name.startswith(KEPT) and name not in foreign) or name.lower() in proxies
    }
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    return {"UV_PYTHON": str(base), **kept, **more}


def run(command: Sequence[str], project: Path, **more: str) -> str:
    """Run a command in the project and return its output; raise `Failed` with it if it fails."""
    done = subprocess.run(
        command,
        cwd=project,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


@contextmanager
def running(
    project: Path,
    command: Sequence[str] = ("uv", "run", "app", "dev"),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Service]:
    """Run the command inside the `with`, once it is ready; check that it leaves no process behind.

    Its output goes to a file beside the project. Raise `Failed`, with the end of that output, where
    it does not get ready or does not stop cleanly.
    """
    log = project.with_name(f"{project.name}.log")
    with free_port() as port, log.open("wb") as output:
        service = Service(project, f"http://127.0.0.1:{port}")
        process = psutil.Popen(
            command,
            cwd=project,
            env=environment(PORT=str(port), PYTHONUNBUFFERED="1", **(settings or {})),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, service.url, log)
            yield service
        finally:
            complaint = _stop(process)
    if complaint:
        raise Failed(f"{complaint}\n{_tail(log)}")


@contextmanager
def free_port() -> Iterator[int]:
    """Yield a port that nobody listens on, and that no other process is given meanwhile.

    A bound socket keeps it; on Linux a server may listen there all the same.
    """
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        if sys.platform != "linux":
            bound.close()
        yield port


def _wait_until_ready(process: psutil.Popen, url: str, log: Path) -> None:
    limit = time.monotonic() + START_LIMIT
    state = "it does not answer"
    while time.monotonic() < limit:
        if process.poll() is not None:
            raise Failed(f"It ended with code {process.returncode} at its start.\n{_tail(log)}")
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5) as answer:  # noqa: S310
                state = answer.read().decode()
                if '"ready"' in state:
                    return
        except urllib.error.HTTPError as error:
            with error:
                state = error.read().decode()
        except OSError as error:
            state = str(error)
        time.sleep(0.1)
    raise Failed(f"It is not ready after {START_LIMIT:.0f} s: {state}\n{_tail(log)}")


def _stop(process: psutil.Popen) -> str:
    """Send SIGINT, to the first process only: `uv run` passes it on. Return what was unclean."""
    family: list[psutil.Process] = [process]
    with suppress(psutil.NoSuchProcess):
        family += process.children(recursive=True)
        process.send_signal(signal.SIGINT)
    with suppress(psutil.TimeoutExpired):
        process.wait(STOP_LIMIT)
    _, left = psutil.wait_procs(family, timeout=5)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    if left:
        return f"It left processes behind: {left}"
    clean = process.returncode in CLEAN_CODES
    return "" if clean else f"It ended with code {process.returncode}."


def _tail(log: Path, lines: int = 40) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
