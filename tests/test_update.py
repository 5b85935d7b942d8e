"""An update from every release keeps what users did, and else gives what a fresh copy gives."""

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from _pytest.mark import ParameterSet
from copier import run_copy, run_update
from copier.errors import UserMessageError

from demo.service import environment as clean_environment
from tests.answers import ALL_OFF, ALL_ON, name_of
from tests.conftest import REPOSITORY, Answers, Environment, git
from tests.edits import ADDED, DELETED, RENAMED, edit, replaced
from tests.releases import (
    ALL,
    BEFORE,
    CANDIDATE,
    IDENTITY,
    RELEASES,
    UNRELEASED,
    Unreleasable,
    add_release,
    clone_with_tags,
    publish,
)
from tests.test_render import USERS_OWN
from tests.test_rendered_project import SUITE, in_environment

MARKER = re.compile(r"^(<<<<<<<|>>>>>>>) ", re.MULTILINE)
CHECKS = ["ruff check", "mypy .", "lint-imports", "python -m app.cli doctor --check-routes"]
UNSAFE = {"_tasks", "_jinja_extensions"}


class Update(NamedTuple):
    """An edited and updated project, beside what it should be."""

    project: Path
    wanted: Path


Updates = Callable[[str, Answers], Update]
SOURCES = list(RELEASES) or [UNRELEASED]
each_release = pytest.mark.parametrize("version", SOURCES)
OLDEST, NEWEST = SOURCES[0], SOURCES[-1]


def ends(versions: list[str]) -> list[ParameterSet]:
    """Return the versions as parameters: those between the oldest and the newest are `campaign`."""
    between = versions[1:-1]
    return [
        pytest.param(each, marks=[pytest.mark.campaign] if each in between else [])
        for each in versions
    ]


each_started = pytest.mark.parametrize("version", ends(SOURCES))
# The releases between with the defaults only: each update takes 12 s of a processor.
each_update = pytest.mark.parametrize(
    ("version", "answers"),
    [
        (version, answers)
        for version in SOURCES
        for answers in ([{}, ALL_ON, ALL_OFF] if version in (OLDEST, NEWEST) else [{}])
    ],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)


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
        asked = git(published, "show", f"v{version}:copier.yml")  # later questions get no answer
        known = {each for each in answers if f"\n{each[0]}:" in asked}
        shutil.copytree(fresh(frozenset(known)), wanted)
        for path in USERS_OWN:
            shutil.rmtree(wanted / path)
            shutil.copytree(project / path, wanted / path)
        commit(project)
        for tree in (project, wanted):
            edit(tree)
        for path in RENAMED.values():  # gets nothing new under its new name
            shutil.copy2(project / path, wanted / path)
        updated(project, dict(answers))
        return Update(project, wanted)

    return lambda version, answers: once(version, frozenset(answers.items()))


def copied(template: Path, project: Path, answers: Answers, version: str | None = None) -> Path:
    run_copy(
        str(template),
        project,
        answers,
        vcs_ref=version,
        defaults=True,
        quiet=True,
        exclude=left_out(answers),
    )
    return project


def left_out(answers: Answers) -> list[str]:
    """Return folders that no answer gets to, for speed; the defaults are copied whole."""
    return ["/benchmarks", "/lab", "/migrations", "/tests/*/"] if answers else []


def updated(project: Path, answers: Answers | None = None, **changed: str) -> None:
    """Commit, then update as a user does: to the newest release, and without trust."""
    commit(project)
    exclude = left_out(answers or {})
    run_update(project, changed, defaults=True, overwrite=True, quiet=True, exclude=exclude)


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


@each_update
def test_an_update_conflicts_with_no_edit(updates: Updates, version: str, answers: Answers) -> None:
    assert conflicts(updates(version, answers).project) == []


@each_update
def test_an_update_gives_a_fresh_copy_with_the_users_edits(
    updates: Updates, version: str, answers: Answers
) -> None:
    project, wanted = map(contents, updates(version, answers))
    assert project.keys() == wanted.keys()
    assert [path for path in project if project[path] != wanted[path]] == []


@each_release
def test_a_deleted_file_stays_deleted(updates: Updates, version: str) -> None:
    project = updates(version, {}).project
    assert not [path for path in (*DELETED, *RENAMED) if (project / path).exists()]


@each_release
def test_an_ignored_file_is_untouched(updates: Updates, version: str) -> None:
    project = updates(version, {}).project
    assert git(project, "check-ignore", ".env").strip() == ".env"
    assert (project / ".env").read_text() == ADDED[".env"]


@pytest.mark.parametrize("version", dict.fromkeys([OLDEST, NEWEST]))
def test_a_second_update_changes_nothing(updates: Updates, version: str, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(updates(version, ALL_OFF).project, project)
    before = contents(project)
    updated(project, ALL_OFF)
    assert contents(project) == before
    assert git(project, "status", "--porcelain") == ""


@pytest.fixture(scope="session")
def working(updates: Updates, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Copy the updated project, for what leaves files behind."""

    @cache
    def copy(version: str) -> Path:
        project = tmp_path_factory.mktemp("working") / "project"
        shutil.copytree(updates(version, {}).project, project)
        return project

    return copy


@pytest.fixture(scope="session")
def highest(environment: Environment) -> dict[str, str]:
    return environment(clean_environment()["UV_PYTHON"])


@pytest.mark.parametrize("check", CHECKS)
def test_the_oldest_project_passes_its_own_checks_after_an_update(
    working: Callable[[str], Path], highest: dict[str, str], check: str
) -> None:
    """Its files are a fresh project's, but for the example and the edits: do these fit the rest?"""
    in_environment(working(OLDEST), highest, *check.split())


@pytest.mark.campaign
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("interpreter", ["3.11"], indirect=True)
def test_the_oldest_project_passes_its_own_tests_after_an_update(
    working: Callable[[str], Path], environment: Environment, interpreter: str
) -> None:
    output = in_environment(working(OLDEST), environment(interpreter, lowest=True), *SUITE)
    assert re.search(r"\d+ passed", output)


@each_started
def test_an_updated_project_starts_and_its_example_answers(
    working: Callable[[str], Path], highest: dict[str, str], version: str
) -> None:
    command = "python -m pytest -q tests/features/test_triage.py"
    output = in_environment(working(version), highest, *command.split())
    assert re.search(r"^\d+ passed", output, re.MULTILINE)


@pytest.fixture
def rival(published: Path, working_tree: Path, tmp_path: Path) -> Path:
    """The template, with one more release that changes a line which users have edited."""
    clone, files = tmp_path / "rival.git", tmp_path / "files"
    shutil.copytree(published, clone)
    shutil.copytree(working_tree, files)
    readme = files / "template" / "README.md.jinja"
    readme.write_text(
        replaced("and updates improve it.", "and updates mend it.")(readme.read_text())
    )
    project = copied(clone, tmp_path / "project", ALL_OFF)
    edit(project)
    add_release(clone, files, "v9999.0.1")
    return project


def test_an_edit_that_the_template_contradicts_is_reported(rival: Path) -> None:
    """Also the proof that the checks above would see a release that hurts users."""
    updated(rival, ALL_OFF)
    stages = [line.rpartition("\t")[2] for line in git(rival, "ls-files", "-u").splitlines()]
    assert stages == ["README.md"] * 3
    assert {"README.md"} < set(conflicts(rival))
    assert "and updates improve it. We like that." in (rival / "README.md").read_text()


def test_an_answer_can_be_changed(updates: Updates, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(updates(NEWEST, ALL_OFF).project, project)
    updated(project, ALL_OFF, deployment="docker", license="MIT")
    assert conflicts(project) == []
    assert (project / "Dockerfile").exists()
    assert "MIT" in (project / "LICENSE").read_text()
    assert "We like that." in (project / "README.md").read_text()


def test_a_clone_without_tags_updates_to_later_commits(working_tree: Path, tmp_path: Path) -> None:
    template = tmp_path / "template"
    shutil.copytree(working_tree, template)
    commit(template)
    project = copied(template, tmp_path / "project", ALL_OFF)
    added = template / "template" / "docs" / "news.md"
    added.write_text("# News\n")
    commit(template)
    updated(project, ALL_OFF)
    assert (project / "docs" / "news.md").read_text() == "# News\n"


def test_a_clone_without_its_history_says_what_to_type(published: Path, tmp_path: Path) -> None:
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{published}", str(shallow))
    with pytest.raises(Unreleasable, match="git fetch --unshallow"):
        clone_with_tags(shallow, tmp_path, ALL)


@pytest.mark.parametrize("version", ends([*BEFORE]))
def test_an_update_from_before_1_0_stops_and_says_how_to_move(
    published: Path, tmp_path: Path, version: str
) -> None:
    project = copied(published, tmp_path / "project", {"ci": "none"}, f"v{version}")
    commit(project)
    with pytest.raises(UserMessageError, match=r"Nothing was changed.*docs/moving-to-1\.0\.md"):
        updated(project)
    assert git(project, "status", "--porcelain", "--ignored") == ""


@pytest.mark.parametrize("version", [*ALL, CANDIDATE.removeprefix("v")])
def test_no_release_runs_code_on_the_users_machine(published: Path, version: str) -> None:
    config = yaml.safe_load(git(published, "show", f"v{version}:copier.yml"))
    assert not UNSAFE & set(config)
    for migration in config.get("_migrations", []):
        assert {"version", "when", "command"} <= set(migration)


def test_a_release_stays_the_commit_that_it_was() -> None:
    for version, released in ALL.items():
        tags = git(REPOSITORY, "tag", "--list", f"v{version}").split()
        for name in tags:
            assert git(REPOSITORY, "rev-list", "-1", name).strip() == released
