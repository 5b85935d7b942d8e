"""What the template's own documents promise is there."""

import re
from pathlib import Path

import pytest
import yaml

from tests.answers import CHOICES, EXTRAS, FEATURES
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
MAKEFILE = (REPOSITORY / "Makefile").read_text()
DOCUMENTS = [REPOSITORY / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING")]
QUESTIONS = {
    name: question
    for name, question in yaml.safe_load((REPOSITORY / "copier.yml").read_text()).items()
    if not name.startswith("_") and name != "since_1_0"  # never asked
}


def test_every_make_command_of_the_readme_is_a_target() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets | {
        "chaos",
        "dev",
        "update-template",
    }  # which are the rendered project's


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
        assert (document.parent / link).exists(), link


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_readme_lists_every_question_with_its_choices(question: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| `{question}` "))
    for choice in QUESTIONS[question].get("choices", {}).values():
        assert f"`{choice}`" in row


def test_every_choice_is_tested() -> None:
    choices = {
        name: list(question["choices"].values())
        for name, question in QUESTIONS.items()
        if "choices" in question
    }
    assert choices == CHOICES | {"features": FEATURES, "extras": EXTRAS}


def test_ci_runs_what_the_readme_names() -> None:
    commands = (REPOSITORY / ".ci" / "run").read_text().splitlines()
    assert {"make test", "make test-installed"} <= set(commands)
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text()
    assert {".ci/run", "make clients", "make demo"} <= set(re.findall(r"run: (\S.*)", workflow))
