"""An update from every release keeps what users did, and else gives what a fresh copy gives."""

import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from copier import run_copy, run_update

from tests.answers import ALL_OFF, ALL_ON, name_of
from tests.conftest import REPOSITORY, Answers, Environment, Render, git
from tests.edits import ADDED, DELETED, edit, replaced
from tests.releases import (
    CANDIDATE,
    IDENTITY,
    RELEASES,
    Unreleasable,
    add_release,
    clone_with_tags,
    publish,
)
from tests.test_render import USERS_OWN
from tests.test_rendered_project import CHECKS, in_environment

MARKER = re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
UNSAFE = {"_tasks", "_jinja_extensions"}


class Update(NamedTuple):
    """An edited and updated project, beside what it should be."""

    project: Path
    wanted: Path


Updates = Callable[[str, Answers], Update]
each_release = pytest.mark.parametrize("version", RELEASES)
each_update = pytest.mark.parametrize("answers", [{}, ALL_ON, ALL_OFF], ids=name_of)


@pytest.fixture(scope="session")
def published(working_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return publish(REPOSITORY, tmp_path_factory.mktemp("published"), working_tree)


@pytest.fixture(scope="session")
def updates(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Updates:
    """Copy a release, edit it, update it; once for each release and answers."""

    @cache
    def fresh(answers: frozenset[tuple[str, str]]) -> Path:
        return copied(published, tmp_path_factory.mktemp("fresh") / "project", dict(answers))

    @cache
    def once(version: str, answers: frozenset[tuple[str, str]]) -> Update:
        folder = tmp_path_factory.mktemp("update")
        project = copied(published, folder / "project", dict(answers), f"v{version}")
        wanted = folder / "wanted"
        shutil.copytree(fresh(answers), wanted)
        for path in USERS_OWN:
            shutil.copy2(project / path, wanted / path)
        commit(project)
        for tree in (project, wanted):
            edit(tree)
        updated(project)
        return Update(project, wanted)

    return lambda version, answers: once(version, frozenset(answers.items()))


def copied(template: Path, project: Path, answers: Answers, version: str | None = None) -> Path:
    run_copy(str(template), project, answers, vcs_ref=version, defaults=True, quiet=True)
    return project


def updated(project: Path, **answers: str) -> None:
    """Commit, then update as a user does: to the newest release, and without trust."""
    commit(project)
    run_update(project, answers, defaults=True, overwrite=True, quiet=True)


def commit(project: Path) -> None:
    if not (project / ".git").exists():
        git(project, "init", "--quiet", "--initial-branch=main")
    git(project, "add", "--all")
    git(project, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message=Ours")


def contents(project: Path) -> dict[str, bytes]:
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(project).parts
    }


def conflicts(project: Path) -> list[str]:
    """Return what an update that could not merge has left, in one way or the other."""
    marked = [path for path, text in contents(project).items() if MARKER.search(text.decode())]
    rejected = [str(path) for path in project.rglob("*.rej")]
    return [*marked, *rejected, *git(project, "ls-files", "--unmerged").splitlines()]


@each_release
@each_update
def test_an_update_conflicts_with_no_edit(updates: Updates, version: str, answers: Answers) -> None:
    assert conflicts(updates(version, answers).project) == []


@each_release
@each_update
def test_an_update_gives_a_fresh_copy_with_the_users_edits(
    updates: Updates, version: str, answers: Answers
) -> None:
    project, wanted = map(contents, updates(version, answers))
    assert project.keys() == wanted.keys()
    assert [path for path in project if project[path] != wanted[path]] == []
