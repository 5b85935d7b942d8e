"""A release is refused while anything is missing; else it is a heading, a tag and a line."""

import re
import tomllib
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

from release.__main__ import Refused, release
from release.changelog import unreleased
from tests.conftest import REPOSITORY, git
from tests.releases import ALL, RELEASES

TODAY = date(2030, 1, 2)
SECTIONS = dict(
    re.findall(
        r"^## \[(.+?)\](?: - \d{4}-\d\d-\d\d)?\n(.*?)(?=^## |\Z)",
        (REPOSITORY / "CHANGELOG.md").read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
CHANGELOG = """# Changelog

## [Unreleased]

### Added

- A fox.

## [1.2.3] - 2029-01-01

- A hen.
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose last release is 1.2.3."""
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "config", "user.name", "tests")
    git(tmp_path, "config", "user.email", "tests@example.org")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "releases.toml").write_text('"1.2.3" = "0000"\n')
    save(tmp_path)
    return tmp_path


def save(repository: Path) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=All")


def passing(_repository: Path) -> bool:
    return True


def failing(_repository: Path) -> bool:
    return False


@pytest.mark.parametrize("version", ["1.2.4", "1.3.0", "2.0.0"])
def test_the_next_version_gets_a_heading_with_its_date(repository: Path, version: str) -> None:
    release(repository, version, TODAY, passing)
    text = (repository / "CHANGELOG.md").read_text()
    heading = f"## [{version}] - 2030-01-02"
    assert f"## [Unreleased]\n\n{heading}\n\n### Added\n\n- A fox.\n\n## [1.2.3]" in text


def test_the_tag_is_annotated_and_on_the_commit_with_the_heading(repository: Path) -> None:
    release(repository, "1.3.0", TODAY, passing)
    assert git(repository, "cat-file", "-t", "v1.3.0").strip() == "tag"
    assert "## [1.3.0]" in git(repository, "show", "v1.3.0:CHANGELOG.md")


def test_the_list_of_releases_names_the_tagged_commit(repository: Path) -> None:
    release(repository, "1.3.0", TODAY, passing)
    listed = tomllib.loads((repository / "releases.toml").read_text())
    assert listed["1.3.0"] == git(repository, "rev-list", "-1", "v1.3.0").strip()
    assert list(listed) == ["1.2.3", "1.3.0"]


def test_all_is_committed_afterwards(repository: Path) -> None:
    release(repository, "1.3.0", TODAY, passing)
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize("version", ["1.2.3", "1.2.5", "1.4.0", "3.0.0", "0.9.0"])
def test_a_version_that_does_not_come_next_is_refused(repository: Path, version: str) -> None:
    refused(repository, version, r"comes one of 1\.2\.4, 1\.3\.0, 2\.0\.0")


@pytest.mark.parametrize("version", ["", "1.3", "v1.3.0", "1.3.0rc1", "01.3.0", "1.3.0\n"])
def test_what_is_no_version_is_refused(repository: Path, version: str) -> None:
    refused(repository, version, "no version like")


def test_what_is_not_committed_is_refused(repository: Path) -> None:
    (repository / "new").touch()
    refused(repository, "1.3.0", "git status")


def test_a_tag_that_exists_is_refused(repository: Path) -> None:
    git(repository, "tag", "--annotate", "--message=Release", "v1.3.0")
    refused(repository, "1.3.0", "never moved")


def test_a_release_that_changes_nothing_is_refused(repository: Path) -> None:
    file = repository / "CHANGELOG.md"
    file.write_text(CHANGELOG.replace("### Added\n\n- A fox.\n\n", ""))
    save(repository)
    refused(repository, "1.3.0", "nothing below")


def test_failing_tests_are_refused(repository: Path) -> None:
    with pytest.raises(Refused, match="make test"):
        release(repository, "1.3.0", TODAY, failing)
    assert git(repository, "tag") == ""


def refused(repository: Path, version: str, why: str) -> None:
    """See that nothing is released, for the reason, and before any test is run."""
    before = git(repository, "rev-parse", "HEAD")
    with pytest.raises(Refused, match=why):
        release(repository, version, TODAY, failing)
    assert git(repository, "rev-parse", "HEAD") == before


def test_every_release_has_its_heading() -> None:
    headings = list(SECTIONS)
    # The commit of a release has its heading, and only the next one its line in releases.toml.
    assert headings[0] == "Unreleased"
    assert headings[-len(ALL) :] == list(reversed(ALL))
    assert len(headings) <= len(ALL) + 2


@pytest.mark.parametrize(("older", "newer"), [*pairwise([*RELEASES, "Unreleased"])])
def test_every_file_that_a_release_removes_is_named(older: str, newer: str) -> None:
    gone = files(RELEASES[older]) - files(RELEASES.get(newer, "HEAD"))
    assert not [path for path in gone if f"`{path}`" not in SECTIONS[newer]]


def files(commit: str) -> set[str]:
    """Return what a commit renders, but for the tests, with the names it has in a project."""
    paths = git(REPOSITORY, "ls-tree", "-r", "--name-only", f"{commit}:template").splitlines()
    return {path.removesuffix(".jinja") for path in paths if not path.startswith("tests/")}


def test_unreleased_ends_at_the_links() -> None:
    assert unreleased("## [Unreleased]\n\n[1.0.0]: somewhere\n") == ""
