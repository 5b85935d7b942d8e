"""A release that renames files carries the user's edits over, by hooks/renames.py."""

import shutil
from pathlib import Path

import pytest
from copier import run_copy, run_update
from copier.errors import UnsafeTemplateError

from tests.conftest import REPOSITORY, git
from tests.releases import IDENTITY, tag

LINES = "".join(f"line {number}\n" for number in range(1, 10))
MIGRATION = """
_migrations:
  - version: v2.0.0
    when: "{{ _stage in ('before', 'after') }}"
    command:
      - "{{ _copier_python }}"
      - "{{ _copier_conf.src_path }}/hooks/renames.py"
      - "{{ _copier_conf.src_path }}"
      - "{{ _copier_conf.answers_file }}"
      - old.md=>docs/new.md
"""
CONFIG = """
_subdirectory: template
_envops: {keep_trailing_newline: true}
name: {type: str, default: fox}
"""
ANSWERS_FILE = "{{ _copier_conf.answers_file }}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of v1.0.0 of a template whose v2.0.0 renames a file and changes its line 8."""
    template = tmp_path / "template"
    write(template, "copier.yml", CONFIG)
    write(
        template, "template/{{ _copier_conf.answers_file }}.jinja", "{{ _copier_answers|to_yaml }}"
    )
    write(template, "template/old.md", LINES)
    release(template, "v1.0.0")
    project = tmp_path / "project"
    run_copy(str(template), project, defaults=True, quiet=True, vcs_ref="v1.0.0")
    (template / "template/old.md").unlink()
    write(template, "template/docs/new.md", LINES.replace("line 8", "line eight"))
    write(template, "copier.yml", CONFIG + MIGRATION)
    (template / "hooks").mkdir()
    shutil.copy2(REPOSITORY / "hooks/renames.py", template / "hooks")
    release(template, "v2.0.0")
    return project


def write(folder: Path, path: str, text: str) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text(text)


def release(folder: Path, version: str) -> None:
    save(folder)
    tag(folder, version)


def save(folder: Path) -> None:
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", "--all")
    git(folder, *IDENTITY, "commit", "--quiet", "--allow-empty", "--message=All")


def update(project: Path, *, unsafe: bool = False) -> None:
    save(project)
    run_update(project, defaults=True, overwrite=True, quiet=True, unsafe=unsafe)


def test_an_edit_moves_with_its_file(project: Path) -> None:
    write(project, "old.md", LINES.replace("line 2", "ours"))
    update(project, unsafe=True)
    expected = LINES.replace("line 2", "ours").replace("line 8", "line eight")
    assert (project / "docs/new.md").read_text() == expected
    assert not (project / "old.md").exists()


def test_without_the_migration_the_edit_is_lost(project: Path) -> None:
    template = project.with_name("template")
    write(template, "copier.yml", CONFIG)
    release(template, "v2.0.1")
    write(project, "old.md", LINES.replace("line 2", "ours"))
    update(project)
    assert "ours" not in (project / "docs/new.md").read_text()
    assert not (project / "old.md").exists()


def test_an_edit_of_a_changed_line_is_marked(project: Path) -> None:
    write(project, "old.md", LINES.replace("line 8", "ours"))
    update(project, unsafe=True)
    text = (project / "docs/new.md").read_text()
    marked = "<<<<<<< before updating\nours\n=======\nline eight\n>>>>>>> after updating\n"
    assert marked in text


def test_nothing_is_left_for_a_second_update(project: Path) -> None:
    write(project, "old.md", LINES.replace("line 2", "ours"))
    update(project, unsafe=True)
    before = (project / "docs/new.md").read_text()
    update(project)
    assert (project / "docs/new.md").read_text() == before
    assert not (project / ".git/copier-renames").exists()


def test_a_release_that_renames_asks_for_trust(project: Path) -> None:
    with pytest.raises(UnsafeTemplateError, match="migrations"):
        update(project)
    assert (project / "old.md").exists()
