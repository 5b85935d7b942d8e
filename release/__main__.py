"""Check that all is ready for a release, then commit, tag and record it."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from release.changelog import unreleased, write_heading

ALL_TESTS = ("test", "test-installed", "proof-all")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Refused(Exception):
    """No release can be made; the message says what to do first."""


def main(version: str) -> None:
    """Make the release of this repository, or end with what is missing."""
    today = datetime.now(tz=UTC).date()
    try:
        release(Path.cwd(), version, today, run_tests)
    except Refused as refused:
        sys.exit(f"Not released: {refused}")
    print(f"Released {version}. Publish it: git push --follow-tags")


def release(repository: Path, version: str, today: date, tests: Callable[[Path], bool]) -> None:
    """Commit the changelog's heading, tag that commit, and record it in releases.toml.

    A commit cannot name itself: `releases.toml` gets its line in the commit after the tagged one.
    """
    check(repository, version)
    if not tests(repository):
        raise Refused(f"`make {' '.join(ALL_TESTS)}` fails.")
    write_heading(repository / "CHANGELOG.md", version, today)
    commit(repository, f"Release {version}")
    git(repository, "tag", "--annotate", f"--message=Release {version}", f"v{version}")
    record(repository / "releases.toml", version, git(repository, "rev-parse", "HEAD"))
    commit(repository, f"Updates from {version} are tested")


def check(repository: Path, version: str) -> None:
    """Raise `Refused` unless the version is next, with a changelog, and all is committed."""
    if not VERSION.fullmatch(version):
        raise Refused(f"`{version}` is no version like 1.2.3.")
    if git(repository, "status", "--porcelain"):
        raise Refused("Commit or stash what `git status` shows.")
    if git(repository, "tag", "--list", f"v{version}"):
        raise Refused(f"The tag v{version} is there already; a release is never moved.")
    released = list(tomllib.loads((repository / "releases.toml").read_text()))
    if released and version not in following(released[-1]):
        raise Refused(f"After {released[-1]} comes one of {', '.join(following(released[-1]))}.")
    if not unreleased((repository / "CHANGELOG.md").read_text()):
        raise Refused("CHANGELOG.md has nothing below `## [Unreleased]`: say what changes.")


def following(version: str) -> list[str]:
    """Return the next patch, minor and major version."""
    major, minor, patch = map(int, version.split("."))
    return [f"{major}.{minor}.{patch + 1}", f"{major}.{minor + 1}.0", f"{major + 1}.0.0"]


def record(file: Path, version: str, commit: str) -> None:
    """Add the version and its commit."""
    with file.open("a") as releases:
        releases.write(f'"{version}" = "{commit}"\n')


def commit(repository: Path, message: str) -> None:
    """Commit what has changed."""
    git(repository, "commit", "--all", "--quiet", f"--message={message}")


def run_tests(repository: Path) -> bool:
    """Tell whether the whole test suite passes."""
    return subprocess.run(["make", *ALL_TESTS], cwd=repository, check=False).returncode == 0


def git(repository: Path, *arguments: str) -> str:
    """Run git in the repository and return what it printed; raise `Refused` with its complaint."""
    done = subprocess.run(
        ["git", *arguments], cwd=repository, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise Refused(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


if __name__ == "__main__":
    main(*sys.argv[1:])
