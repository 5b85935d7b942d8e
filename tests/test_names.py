"""Every file can be checked out on Windows and macOS, under its name and with the same bytes."""

import re
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Answers, Render, git
from tests.test_render import each_render, files

FORBIDDEN = re.compile(r'["<>:|?*\\\x00-\x1f]|[. ](/|$)')
RESERVED = re.compile(r"(^|/)(con|prn|aux|nul|com\d|lpt\d)(\.|/|$)", re.IGNORECASE)
LONGEST = 140  # of 260 that Windows allows for a whole path


def illegal(paths: Collection[str]) -> list[str]:
    """Return each path that some system refuses or confuses with another."""
    folders = {parent.as_posix() for path in paths for parent in Path(path).parents}
    same = Counter(path.lower() for path in {*paths, *folders})
    return [
        path
        for path in {*paths, *folders} - {"."}
        if FORBIDDEN.search(path)
        or RESERVED.search(path)
        or len(path) > LONGEST
        or same[path.lower()] > 1
    ]


def test_every_path_of_the_repository_is_legal() -> None:
    paths = git(REPOSITORY, "ls-files", "-z", "-co", "--exclude-standard").split("\0")
    assert illegal(paths[:-1]) == []


@each_render
def test_every_path_of_a_render_is_legal(render: Render, answers: Answers) -> None:
    assert illegal(files(render(answers)).keys()) == []


@pytest.mark.parametrize(
    "path",
    [
        *('a"b', "a<b", "a:b", "a|b", "a?b", "a*b", "a\\b", "a\tb"),
        *("a.", "a ", "a./b", "a /b", "nul", "Con.py", "a/aux", "com1.txt", "prn/a", "x" * 141),
    ],
)
def test_an_illegal_path_is_found(path: str) -> None:
    assert illegal([path])


@pytest.mark.parametrize("paths", [["README", "readme"], ["docs/a", "Docs/b"]])
def test_paths_that_differ_only_by_case_are_found(paths: list[str]) -> None:
    assert illegal(paths)


@pytest.mark.parametrize("folder", [REPOSITORY, REPOSITORY / "template"], ids=["root", "template"])
def test_git_gives_every_system_the_same_line_ends(folder: Path) -> None:
    assert git(folder, "check-attr", "eol", "--", "README.md").endswith("eol: lf\n")
    assert (folder / ".gitattributes").read_text().startswith("* text=auto eol=lf\n")


def test_no_file_has_other_line_ends() -> None:
    for name in git(REPOSITORY, "ls-files", "-co", "--exclude-standard").splitlines():
        path = REPOSITORY / name
        assert not path.is_file() or b"\r\n" not in path.read_bytes(), name
