"""Processes of this project that need not import it: forked from one that has done so already.

They are as real as others, can be killed and frozen, and start four times as fast. A command that
migrates takes 0.14 s of the processor so, and 2 s by itself.
"""

import multiprocessing
import os
import pkgutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

MORE_MODULES = "MORE_MODULES"
"""Names a folder whose modules such a process imports: features with a `JOB` or an `AGENT`."""

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.preloaded"])


class Forked:
    """An `app` command line as a process, with the methods of `subprocess.Popen` that tests use.

    What it prints is added to the files `output` and, where it is another one, `errors`. It runs in
    the folder `project`, a copy of this project, with the code there; or else in this folder. A
    `program` other than `app.cli` is a module that has a `main`, too.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        errors: Path | None = None,
        *,
        project: Path | None = None,
        program: str = "app.cli",
    ) -> None:
        output.touch()  # others look for it at once
        command = program, *arguments
        start = Path.cwd(), project, command, dict(environment), output, errors or output
        self._process = _context.Process(target=_run, args=start)
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Return the exit code; raise `subprocess.TimeoutExpired` after `timeout` seconds."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _run(
    folder: Path,
    project: Path | None,
    command: Sequence[str],
    environment: Mapping[str, str],
    output: Path,
    errors: Path,
) -> None:
    for path, stream in ((output, sys.stdout), (errors, sys.stderr)):
        with path.open("ab") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.stdin = None  # this one cannot be inherited, which uvicorn's `--workers` would do
    os.chdir(project or folder)
    if project:
        _take_code_of(project)
    os.environ.clear()
    os.environ.update(environment)
    import_features(environment)
    sys.argv = ["app", *command[1:]]
    import_module(command[0]).main()


def _take_code_of(project: Path) -> None:
    """Forget the code of this project, but for the metrics: Prometheus registers each one once."""
    ours = [name for name in sys.modules if name.split(".")[0] in {"app", "engine"}]
    for name in set(ours) - {"engine.watch.metrics"}:
        del sys.modules[name]
    sys.path.insert(0, str(project))


def import_features(environment: Mapping[str, str]) -> None:
    """Let the app of this process have the features of the folder that the environment names."""
    from app import features  # noqa: PLC0415 -- imported already, and only there

    more = environment.get(MORE_MODULES)
    if not more:
        return
    features.__path__.append(more)
    for found in pkgutil.iter_modules([more], "app.features."):
        module = import_module(found.name)
        if job := getattr(module, "JOB", None):
            features.JOBS.append(job)
        if agent := getattr(module, "AGENT", None):
            vars(features).setdefault("AGENTS", []).append(agent)
