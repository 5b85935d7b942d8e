"""`app new` writes into the folders of the team, and never over a file."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from engine.errors import AppError
from tests.cli.command import run

LISTS = (
    "from app.a import A\n\nOPERATIONS: list[A] = [A]\nJOBS: list[A] = []\nAGENTS: list[A] = []\n"
)
ROUTERS = "from app.a import A\n\nROUTERS: list[A] = [A.router]\n"


@pytest.fixture
def features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "app" / "features"
    folder.mkdir(parents=True)
    (tmp_path / "tests" / "features").mkdir(parents=True)
    (folder / "__init__.py").write_text(LISTS)
    (folder / "endpoints.py").write_text(ROUTERS)
    monkeypatch.chdir(tmp_path)
    return folder


def test_a_new_feature_is_in_both_lists(features: Path) -> None:
    run("new", "feature", "letter_count")
    assert "OPERATIONS: list[A] = [A, LETTER_COUNT]" in (features / "__init__.py").read_text()
    routers = (features / "endpoints.py").read_text()
    assert "ROUTERS: list[A] = [A.router, letter_count.router]" in routers


def test_a_new_job_is_in_the_list_of_jobs(features: Path) -> None:
    run("new", "job", "letter_count")
    assert "JOBS: list[A] = [LETTER_COUNT_JOB]" in (features / "__init__.py").read_text()


def test_a_new_agent_is_in_the_list_of_agents(features: Path) -> None:
    run("new", "agent", "letter_count")
    assert "AGENTS: list[A] = [LETTER_COUNT_AGENT]" in (features / "__init__.py").read_text()


def test_a_list_that_an_older_project_lacks_is_shown_whole(features: Path) -> None:
    older = "from app.a import A\n\nJOBS: list[A] = []\n"
    (features / "__init__.py").write_text(older)
    told = run("new", "agent", "letter_count").stdout
    imported = "from app.features.letter_count.agent import LETTER_COUNT_AGENT"
    assert f"`{imported}`, and `AGENTS = [LETTER_COUNT_AGENT]`." in " ".join(told.split())
    assert (features / "__init__.py").read_text() == older


def test_an_unknown_form_of_the_list_is_left_to_the_reader(features: Path) -> None:
    (features / "__init__.py").write_text("JOBS = make()\n")
    told = run("new", "job", "letter_count").stdout
    assert "Add to app/features/__init__.py" in told
    assert (features / "__init__.py").read_text() == "JOBS = make()\n"


@pytest.mark.parametrize("name", ["LetterCount", "letter-count", "../letters", "9", ""])
def test_a_name_that_is_none_is_refused(features: Path, name: str) -> None:
    with pytest.raises(AppError, match="use a-z"):
        run("new", "job", name)
    assert sorted(path.name for path in features.iterdir()) == ["__init__.py", "endpoints.py"]


def test_an_existing_feature_is_not_written_over(features: Path) -> None:
    run("new", "job", "letter_count")
    (features / "letter_count" / "job.py").write_text("OURS = True\n")
    with pytest.raises(AppError, match="exists"):
        run("new", "job", "letter_count")
    assert (features / "letter_count" / "job.py").read_text() == "OURS = True\n"


def test_written_modules_import_names_that_exist(features: Path) -> None:
    run("new", "feature", "letter_count")
    run("new", "job", "letter_count")
    run("new", "agent", "letter_count")
    for path in sorted(features.glob("letter_count/*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and "letter_count" not in (node.module or ""):
                module = import_module(node.module or "")
                assert [each.name for each in node.names if not hasattr(module, each.name)] == []
