"""`make update-template` says what it took away, what it could not merge, and what is next."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from copier import run_copy, run_update

from demo.service import environment
from tests.conftest import Render, git
from tests.releases import IDENTITY, tag

CONFIG = "_subdirectory: template\nfruit:\n  type: str\n  default: apple\n"
FILES = {
    "{{_copier_conf.answers_file}}.jinja": "{{ _copier_answers | to_nice_yaml -}}\n",
    "kept.md": "# Kept\n\none\n",
    "pyproject.toml": '[project]\nname = "one"\n',
    "docs/gone.md": "# Gone\n",
    "docs/two words.md": "# Two words\n",
    "docs/answered.md.jinja": "# {{ fruit }}\n",
}
GONE = ["docs/gone.md", "docs/two words.md", "docs/answered.md"]
FAKE_UV = """#!/bin/sh
echo "$1" >>"$0.log"
case "$1 $4" in
    --version*) echo "uv 0" ;;
    sync*) grep --quiet unsolvable pyproject.toml && { echo "no solution" >&2; exit 1; }; exit 0 ;;
    "tool recopy") test ! -e "$0.offline" && shift 3 && exec copier "$@" ;;
    "tool update") shift 3 && exec copier "$@" ;;
esac
"""


class Outcome(NamedTuple):
    """What `make update-template` ended with, and what it printed, one thing beneath the other."""

    code: int
    output: str

    @property
    def last(self) -> str:
        """The lines from the one that says what is next; make's own about a failure are none."""
        said = "\n".join(line for line in self.output.splitlines() if not line.startswith("make: "))
        return said[said.index("Next: ") :]


class Team:
    """A team with a project of a template's first release, and `uv` on its machine."""

    def __init__(self, folder: Path, makefile: str) -> None:
        self.template = folder / "template"
        self.repository = folder / "with space" / "repository"
        self.project = self.repository
        self.uv = folder / "bin" / "uv"
        self.uv.parent.mkdir()
        self.uv.write_text(FAKE_UV)
        self.uv.chmod(0o755)
        write(self.template, {"copier.yml": CONFIG})
        self.release("v1.0.0", {**FILES, "Makefile": makefile})

    def release(self, version: str, changed: dict[str, str], gone: list[str] | None = None) -> None:
        """Release the template with these files changed, and those gone."""
        write(self.template / "template", changed)
        for path in gone or []:
            for file in (self.template / "template").glob(f"{path}*"):
                file.unlink()
        commit(self.template)
        tag(self.template, version)

    def start(self, edits: dict[str, str], inside: str = ".") -> None:
        """Copy the project, edit it, and commit both at once; in a folder of the repository."""
        self.project = self.repository / inside
        run_copy(str(self.template), self.project, {"fruit": "pear"}, quiet=True)
        write(self.project, edits)
        commit(self.repository)

    def update(self) -> Outcome:
        return self.make("update-template")

    def make(self, target: str) -> Outcome:
        path = f"{self.uv.parent}:{environment()['PATH']}"
        done = subprocess.run(
            ["make", target],
            cwd=self.project,
            env=environment(PATH=path),  # without the flags of a make that runs these tests
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Outcome(done.returncode, done.stdout)

    def update_plainly(self) -> Outcome:
        """Update without the Makefile, and ask it afterwards."""
        run_update(self.project, defaults=True, overwrite=True, quiet=True)
        return self.make("removed")

    def synced(self) -> bool:
        return "sync" in self.uv.with_name("uv.log").read_text().splitlines()


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def commit(folder: Path) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, *IDENTITY, "commit", "--quiet", "--message=Ours")


@pytest.fixture(scope="module")
def makefile(render: Render) -> str:
    return (render({}) / "Makefile").read_text()


@pytest.fixture
def team(tmp_path: Path, makefile: str) -> Team:
    return Team(tmp_path, makefile)


def test_a_clean_update_syncs_and_says_what_is_next(team: Team) -> None:
    team.start({"ours.md": "ours\n"})
    team.release("v2.0.0", {"kept.md": "# Kept\n\ntwo\n"})
    done = team.update()
    assert (done.code, team.synced()) == (0, True)
    assert (team.project / "kept.md").read_text() == "# Kept\n\ntwo\n"
    assert done.last == "Next: look through it with `git diff`, then type `make check test`."


@pytest.mark.parametrize(
    ("update", "path", "inside"),
    [
        (Team.update, "docs/gone.md", "."),
        (Team.update, "docs/two words.md", "services/chat"),
        (Team.update_plainly, "docs/gone.md", "services/chat"),
        (Team.update_plainly, "docs/two words.md", "."),
    ],
)
def test_a_removed_file_with_edits_is_named_and_its_command_gets_it_back(
    team: Team, path: str, inside: str, update: Callable[[Team], Outcome]
) -> None:
    team.start({path: "# Ours\n"}, inside)
    team.release("v2.0.0", {}, GONE)
    done = update(team)
    [said] = re.findall(rf"removed {path}.*\n +See it: +(.*)\n +Get it back: +(.*)", done.output)
    assert not (team.project / path).exists()
    see, restore = said
    subprocess.run(["sh", "-c", restore], cwd=team.project, check=True)
    assert (team.project / path).read_text() == "# Ours\n"
    assert subprocess.check_output(["sh", "-c", see], cwd=team.project, text=True) == "# Ours\n"
    assert done.code == 0


def test_a_removed_file_without_edits_is_not_named(team: Team) -> None:
    """Nor one that an answer wrote, where the team has given another than the default."""
    team.start({"ours.md": "ours\n"})
    assert (team.project / "docs" / "answered.md").read_text() == "# pear\n"
    team.release("v2.0.0", {}, GONE)
    done = team.update()
    assert not (team.project / "docs" / "answered.md").exists()
    assert "The update removed" not in done.output


def test_without_the_old_version_each_removed_file_is_named(team: Team) -> None:
    team.start({"ours.md": "ours\n"})
    team.release("v2.0.0", {}, GONE)
    team.uv.with_name("uv.offline").touch()
    done = team.update()
    assert "The template's old version cannot be read" in done.output
    assert done.output.count("The update removed docs/") == len(GONE)


def test_a_conflict_is_listed_the_libraries_are_synced_all_the_same(team: Team) -> None:
    team.start({"kept.md": "# Kept\n\nours\n"})
    team.release("v2.0.0", {"kept.md": "# Kept\n\ntwo\n"})
    done = team.update()
    assert done.code != 0
    assert team.synced()
    assert "./kept.md:3:<<<<<<< before updating\n" in done.output
    assert "`make conflicts` lists which conflicts are left.\nThen type `uv sync`" in done.last


def test_a_removed_file_is_named_beside_a_conflict(team: Team) -> None:
    team.start({"kept.md": "# Kept\n\nours\n", "docs/gone.md": "# Ours\n"})
    team.release("v2.0.0", {"kept.md": "# Kept\n\ntwo\n"}, GONE)
    output = team.update().output
    assert "The update removed docs/gone.md" in output
    assert "./kept.md:3:<<<<<<<" in output


def test_libraries_that_are_in_conflict_are_not_synced(team: Team) -> None:
    team.start({"pyproject.toml": '[project]\nname = "ours"\n'})
    team.release("v2.0.0", {"pyproject.toml": '[project]\nname = "two"\n'})
    done = team.update()
    assert done.code != 0
    assert not team.synced()
    assert "`uv sync` cannot run, because pyproject.toml has a conflict" in done.output
    assert "Then type `uv sync`" in done.last


def test_a_failed_sync_fails_the_update_and_says_what_is_next(team: Team) -> None:
    team.start({"ours.md": "ours\n"})
    team.release("v2.0.0", {"pyproject.toml": '[project]\nname = "unsolvable"\n'})
    done = team.update()
    assert done.code != 0
    assert "no solution" in done.output
    assert "Then type `uv sync`" in done.last


def test_a_conflict_in_the_makefile_itself_is_listed(team: Team, makefile: str) -> None:
    team.start({"Makefile": makefile.replace(".PHONY: help", ".PHONY: ours help")})
    team.release("v2.0.0", {"Makefile": makefile.replace(".PHONY: help", ".PHONY: new help")})
    done = team.update()
    assert done.code != 0
    assert team.synced()
    assert "./Makefile:" in done.output
    assert "No `make` runs before the conflict in Makefile is solved." in done.output
    assert "Then type `uv sync`" in done.last
