"""The released versions of this template, and the working tree as the version that comes next."""

import tomllib
from pathlib import Path

from tests.conftest import REPOSITORY, git

ALL: dict[str, str] = tomllib.loads((REPOSITORY / "releases.toml").read_text())
BEFORE = {version: commit for version, commit in ALL.items() if version.startswith("0.")}
"""Releases from which no update leads on."""

RELEASES = {version: commit for version, commit in ALL.items() if version not in BEFORE}
CANDIDATE = "v9999.0.0"
UNRELEASED = "9998.0.0"
"""Stands for the last release while there is none since 1.0: the working tree, once more."""
IDENTITY = ("-c", "user.name=tests", "-c", "user.email=tests@example.org")


class Unreleasable(Exception):
    """The history lacks a released commit; the message says how to get it."""


def publish(repository: Path, folder: Path, working_tree: Path) -> Path:
    """Make a bare clone in which each release has its tag, and the working tree is the newest."""
    clone = clone_with_tags(repository, folder, ALL)
    if not RELEASES:
        add_release(clone, working_tree, f"v{UNRELEASED}")
    return add_release(clone, working_tree, CANDIDATE)


def clone_with_tags(repository: Path, folder: Path, releases: dict[str, str]) -> Path:
    """Make a bare clone; whether the repository has its tags yet does not matter."""
    clone = folder / "template.git"
    git(folder, "clone", "--quiet", "--bare", "--no-tags", str(repository), str(clone))
    for version, commit in releases.items():
        if git(clone, "rev-list", "--ignore-missing", "--max-count=1", commit) == "":
            raise Unreleasable(
                f"{version} is commit {commit}, which this clone lacks. A shallow clone has not "
                "the whole history: type `git fetch --unshallow`, or in CI set `fetch-depth: 0`."
            )
        tag(clone, f"v{version}", commit)
    return clone


def add_release(clone: Path, files: Path, name: str) -> Path:
    """Commit the files, whatever was there before, and give the commit an annotated tag."""
    there = ("-c", "core.bare=false", f"--git-dir={clone}", f"--work-tree={files}")
    git(files, *there, "add", "--all")
    git(files, *there, *IDENTITY, "commit", "--quiet", "--allow-empty", f"--message={name}")
    tag(clone, name)
    return clone


def tag(clone: Path, name: str, commit: str = "HEAD") -> None:
    """Make an annotated tag, as a release does."""
    git(clone, *IDENTITY, "tag", "--annotate", f"--message={name}", name, commit)
