"""A render reads as if it had been written without options: none of it is about another answer."""

import re
import tomllib

import pytest

from tests.answers import DEFAULTS, EVERY_FEATURE, EXTRAS, FEATURES, chosen_of
from tests.conftest import Answers, Render
from tests.test_render import each_render, files

# What is written only where one of the answers was given.
WORDS = {
    r"app doctor|routes\.txt|the doctor": [("extras", "doctor")],
    r"app lab|\blab/": [("extras", "lab")],
    r"make bench|benchmarks": [("extras", "benchmarks")],
    r"make (proof|chaos|soak)|tests/proof": [("extras", "proof")],
    r"v1/vector_stores": [("features", "documents")],
    r"v1/fine_tuning": [("features", "fine_tuning")],
    r"github|dependabot": [("ci", "github")],
    r"gitlab|renovate": [("ci", "gitlab")],
    r"compose\.yaml|docker compose": [("deployment", "docker")],
    r"kubernetes|kubectl|k8s": [("deployment", "kubernetes")],
    r"docker": [("deployment", "docker"), ("deployment", "kubernetes")],
    r"libgomp": [("model_provider", "local"), ("ci", "gitlab")],
    r"MIT license": [("license", "MIT")],
    r"apache": [("license", "Apache-2.0")],
}
NEVER_IMPORTED = {
    "import-linter": "it is the command lint-imports",
    "mypy": "it is a command",
    "pytest-timeout": "pytest loads it",
    "pytest-xdist": "pytest loads it",
    "python-multipart": "FastAPI reads forms with it",
}
ABOUT_ALL_ANSWERS = (".copier-answers.yml", "docs/updating.md")


def foreign(texts: dict[str, str], answers: Answers) -> list[str]:
    """Return each place that is about an answer which was not given."""
    chosen = chosen_of(answers)
    given = {
        *{**DEFAULTS, **answers}.items(),
        *(("extras", each) for each in chosen.intersection(EXTRAS)),
        *(("features", each) for each in chosen.intersection(FEATURES)),
    }
    return [
        f"{path}: {found.group()}"
        for words, wanted in WORDS.items()
        if not given & set(wanted)
        for path, text in texts.items()
        if path not in ABOUT_ALL_ANSWERS and (found := re.search(words, text, re.IGNORECASE))
    ]


@each_render
def test_nothing_is_about_another_answer(render: Render, answers: Answers) -> None:
    assert foreign(files(render(answers)), answers) == []


@pytest.mark.parametrize("words", WORDS)
def test_each_word_is_found_where_its_answer_was_given(render: Render, words: str) -> None:
    """So that none of the checks above looks for what nobody writes."""
    question, answer = WORDS[words][0]
    answers = {question: f"[{answer}]" if question in {"features", "extras"} else answer}
    assert any(re.search(words, text, re.I) for text in files(render(answers)).values())


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("README.md", "`.github/workflows/ci.yml` runs it."),
        ("docs/deploying.md", "Type `docker compose up`."),
        ("docs/deploying.md", "`kubectl get pods` shows them."),
        ("docs/deploying.md", "Renovate opens a merge request."),
        ("README.md", "`app lab` shows it."),
        ("README.md", "`make chaos` kills everything."),
    ],
)
def test_a_leftover_is_found(path: str, text: str) -> None:
    answers = {"ci": "none", "deployment": "none", "extras": "[]"}
    assert foreign({path: text}, answers)
    assert not foreign({path: "Type `uv run app dev`."}, answers)


def test_every_dependency_is_used(render: Render) -> None:
    project = render({"features": EVERY_FEATURE})  # all renders have the same libraries
    settings = tomllib.loads((project / "pyproject.toml").read_text())
    groups = [settings["project"]["dependencies"], *settings["dependency-groups"].values()]
    names = {re.split(r"[\[<>=]", wanted)[0] for group in groups for wanted in group}
    code = "\n".join(path.read_text() for path in project.rglob("*.py"))
    unused = {name for name in names if not re.search(rf"\b{name.replace('-', '_')}\b", code)}
    assert unused == set(NEVER_IMPORTED)
