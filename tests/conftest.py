"""Renders of the working tree, made once for each answer set, and environments to run them in."""

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from copier import run_copy

from demo.service import run
from tests.copying import fast_copies

REPOSITORY = Path(__file__).parents[1]
KEPT = REPOSITORY / ".work"
"""Environments and what mypy knows of them are the same in the next run."""
PYTHONS = ("3.11", "3.13")

Answers: TypeAlias = dict[str, str]
Render: TypeAlias = Callable[[Answers], Path]
Shared: TypeAlias = Callable[[str, Callable[[Path], object]], Path]
Environment: TypeAlias = Callable[..., dict[str, str]]
NOT_RUN = "not run as named"


@pytest.fixture(scope="session", autouse=True)
def _fast_copies() -> Iterator[None]:
    with fast_copies():
        yield


@pytest.fixture(scope="session")
def working_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the working tree, also those that are not committed yet, without git."""
    folder = tmp_path_factory.mktemp("working_tree")
    for name in git(REPOSITORY, "ls-files", "-z", "-co", "--exclude-standard").split("\0"):
        source = REPOSITORY / name
        if name and source.is_file():  # git also lists what is deleted but not committed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return folder


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all processes of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shared(common: Path, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """Return a folder of a name, which is made once for all processes of this run."""

    def once(name: str, make: Callable[[Path], object]) -> Path:
        folder = common / name
        if not folder.exists():
            draft = tmp_path_factory.mktemp("draft") / name
            make(draft)
            with suppress(OSError):  # another process has made it meanwhile
                draft.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def template(working_tree: Path, shared: Shared) -> Path:
    """A clean repository with the working tree as its release."""

    def make(folder: Path) -> None:
        shutil.copytree(working_tree, folder)
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        identity = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")
        git(folder, *identity, "commit", "--quiet", "--message=Everything")
        git(folder, *identity, "tag", "--annotate", "--message=Release", "v0.1.0")

    return shared("template", make)


@pytest.fixture(scope="session")
def render(template: Path, shared: Shared) -> Render:
    """Render a set of answers, once, and without ever being trusted to run code."""

    def once(answers: Answers) -> Path:
        def make(folder: Path) -> None:
            run_copy(str(template), folder / "project", answers, defaults=True, quiet=True)

        key = hashlib.sha256(repr(sorted(answers.items())).encode()).hexdigest()[:16]
        return shared(f"render-{key}", make) / "project"

    return once


@pytest.fixture(scope="session")
def checkout(render: Render, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Copy a render, once, for what leaves files behind: a lock, caches, a database."""

    @cache
    def once(answers: frozenset[tuple[str, str]]) -> Path:
        copy = tmp_path_factory.mktemp("checkout") / "project"
        shutil.copytree(render(dict(answers)), copy)
        return copy

    return lambda answers: once(frozenset(answers.items()))


@pytest.fixture(scope="session")
def environment(checkout: Render, render: Render) -> Environment:
    """Make one environment for a Python version, once; return the variables that put it to use.

    The dependencies of all renders are the same, so one environment serves them all. It has the
    highest libraries that are allowed, or the `lowest`.
    """
    mypy_cache = KEPT / "mypy"
    mypy_cache.mkdir(parents=True, exist_ok=True)

    @cache
    def once(interpreter: str, *, lowest: bool = False) -> dict[str, str]:
        name = interpreter.strip("/").replace("/", "_") + ("-lowest" if lowest else "")
        folder = KEPT / "environments" / name
        folder.mkdir(parents=True, exist_ok=True)
        variables = {
            "UV_PROJECT_ENVIRONMENT": str(folder / "venv"),
            "UV_PYTHON": interpreter,
            "MYPY_CACHE_DIR": str(mypy_cache),
        }
        sync = ["uv", "sync", "--quiet", "--no-install-project"]
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if lowest:
                (folder / "uv.lock").unlink(missing_ok=True)  # of an earlier run
                shutil.copy2(
                    render({}) / "pyproject.toml", folder
                )  # its lock is no other project's
                run([*sync, "--resolution", "lowest-direct"], folder, **variables)
            else:
                run(sync, checkout({}), **variables)
        return variables

    return once


@pytest.fixture(params=PYTHONS)
def interpreter(request: pytest.FixtureRequest) -> str:
    """An interpreter of each version that is tested; the summary says which one is missing here."""
    version: str = request.param
    found = find_python(version)
    if found is None:
        request.node.user_properties.append((NOT_RUN, f"{request.node.name}: no {version}"))
    return found or sys.executable


def find_python(version: str) -> str | None:
    """Return the path of such an interpreter, pyenv's among them, or None."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python{version}"))]
    for candidate in candidates:
        try:
            subprocess.run([candidate, "-c", ""], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):  # a shim of pyenv's may lead nowhere
            continue
        return candidate
    return None


LONGEST = (
    *("isolation", "moves", "proof", "update", "rendered_project", "old_code", "live"),
    *("clients", "demo", "update_target", "render", "questions"),
)
"""Files that take longest, the longest first: none of them shall be left for one process alone.

Isolation and moves are before the proof, which takes longest, since xdist gives the first process
another file at once where its first one has two tests or fewer.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; `--no-loadscope-reorder` lets xdist keep to that."""
    order = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say loudly which Python version was not there to be tested."""
    reports = itertools.chain.from_iterable(terminalreporter.stats.values())
    said = [dict(getattr(report, "user_properties", [])).get(NOT_RUN) for report in reports]
    for line in sorted({*filter(None, said)}):
        terminalreporter.write_line(f"NOT RUN as named, but on {sys.version}: {line}", red=True)


def git(folder: Path, *arguments: str) -> str:
    """Run git in the folder and return what it printed."""
    done = subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout
