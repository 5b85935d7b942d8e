"""The weekly job looks for a new version where CI sees the template, and else says what to do."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pytest
import yaml

from demo.service import environment
from tests.conftest import Render

ADDRESSES = [
    "https://example.org/org/template.git",
    "https://example.org:8443/org/template.git",
    "http://example.org/template.git",
    "git+https://example.org/template",
    "git+ssh://git@example.org/org/template",
    "ssh://git@example.org:2222/org/template.git",
    "git://example.org/template",
    "git@example.org:org/template.git",
    "git@example.org:/srv/template.git",
    "example.org:org/template.git",
    "gh:org/template",
    "gl:org/group/template",
]
FOLDERS = [
    "/home/ann/template",
    "/home/ann/template.git",
    "/home/ann/my template " + "x" * 100,  # YAML breaks the line at a space
    ".",
    "..",
    "../template",
    "./template",
    "templates/llm",
    "template",
    "~/template",
    "~ann/template",
    "C:\\Users\\Ann\\template",
    "C:\\new\\template",  # which some `echo` takes for a line break
    "C:/Users/Ann/template",
    "c:template",
    "\\\\server\\share\\template",
    "file:///home/ann/template.git",
    "git+file:///home/ann/template",
    "../@home:ann",
]
RECORD = '#!/bin/sh\necho "$(basename "$0") $*" >>"$LOG"\n'
COPIER = RECORD + 'case "$*" in *--quiet*) exit "$NEW" ;; esac\n'
SILENT = {"apt-get": RECORD, "pip": RECORD}
UP_TO_DATE, NEW_VERSION = 0, 2


class Outcome(NamedTuple):
    """What the job ended with, what it printed, and how often it asked Copier."""

    code: int
    output: str
    asked: int


Job: TypeAlias = Callable[..., Outcome]


def workflow(project: Path) -> list[str]:
    """Return GitHub's command line with the step, which `bash -e` runs."""
    steps = yaml.safe_load((project / ".github/workflows/update.yml").read_text())
    [script] = [step["run"] for step in steps["jobs"]["check"]["steps"] if "run" in step]
    return ["bash", "-e", "-c", script]


def pipeline(project: Path, shell: str) -> list[str]:
    """Return GitLab's command line with the job: its lines are one script."""
    script = yaml.safe_load((project / ".gitlab-ci.yml").read_text())["update"]["script"]
    return [shell, "-e", "-c", "\n".join(script)]


@pytest.fixture(scope="module", params=["github", "gitlab with bash", "gitlab with sh"])
def command(request: pytest.FixtureRequest, render: Render) -> list[str]:
    ci, _, shell = request.param.partition(" with ")
    project = render({"ci": ci})
    return pipeline(project, shell) if shell else workflow(project)


@pytest.fixture
def job(command: list[str], tmp_path: Path) -> Job:
    """Run the job in a folder with this answers file; the programs that it starts are fakes."""
    fakes, folder, log = tmp_path / "bin", tmp_path / "project", tmp_path / "log"
    for path in (fakes, folder):
        path.mkdir()
    for name, text in {**SILENT, "copier": COPIER, "uvx": COPIER}.items():
        (fakes / name).write_text(text)
        (fakes / name).chmod(0o755)
    log.touch()

    def run(answers: str | None, new: int = UP_TO_DATE) -> Outcome:
        if answers is not None:
            (folder / ".copier-answers.yml").write_text(answers)
        path = f"{fakes}:{environment()['PATH']}"
        variables = environment(PATH=path, LOG=str(log), NEW=str(new))
        done = subprocess.run(
            command, cwd=folder, env=variables, check=False, capture_output=True, text=True
        )
        return Outcome(done.returncode, done.stdout, log.read_text().count("check-update"))

    return run


def answers_file(source: str) -> str:
    """Return the file as Copier writes it."""
    answers = {"_commit": "v1.0.0", "_src_path": source, "author": "gh:ann"}
    return "# Written by Copier\n" + yaml.safe_dump(answers, allow_unicode=True)


@pytest.mark.parametrize("source", ADDRESSES)
def test_an_address_is_asked(job: Job, source: str) -> None:
    assert job(answers_file(source)) == (0, "", 2)


@pytest.mark.parametrize("quote", ["'", '"'])
def test_an_address_may_stand_in_quotes(job: Job, quote: str) -> None:
    assert job(f"_src_path: {quote}gh:org/template{quote}\n") == (0, "", 2)


@pytest.mark.parametrize("source", FOLDERS)
def test_a_folder_that_ci_cannot_see_ends_the_job_well_with_what_to_write(
    job: Job, source: str
) -> None:
    done = job(answers_file(source))
    assert (done.code, done.asked) == (0, 0)
    [line] = done.output.splitlines()
    for word in ("_src_path", "https://", "git@host:", ":org/repo ", "git+ssh://"):
        assert word in line


def test_the_folder_is_named(job: Job) -> None:
    assert " ../my template." in job(answers_file("../my template")).output


def test_copier_says_itself_that_an_answers_file_names_no_template(job: Job) -> None:
    assert job("author: Ann\n") == (0, "", 2)


def test_a_new_version_fails_the_job(job: Job) -> None:
    assert job(answers_file("gh:org/template"), NEW_VERSION).code == NEW_VERSION


def test_a_project_without_its_answers_fails_the_job(job: Job) -> None:
    done = job(None)
    assert done.code != 0
    assert done.output == ""
