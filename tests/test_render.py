"""Every file of every render parses, carries no leftover of the template, and has its reason."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml

from tests.answers import (
    ALL_OFF,
    ALL_ON,
    ANSWER_SETS,
    CHOICES,
    DEFAULTS,
    EVERY_EXTRA,
    EVERY_FEATURE,
    SINGLE,
    chosen_of,
    name_of,
    pairwise,
)
from tests.conftest import REPOSITORY, Render, git

PARSERS: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".py": ast.parse,
    ".toml": tomllib.loads,
    ".yaml": lambda text: list(yaml.safe_load_all(text)),
    ".yml": lambda text: list(yaml.safe_load_all(text)),
}
LEFTOVER = re.compile(r"(?<!\$)\{\{|\{[%#]|[%#]\}")  # `${{ }}` is GitHub's
PYTHON_BLOCK = re.compile(r"^```python\n.*?^```$", re.MULTILINE | re.DOTALL)
PROOF_OF_GITHUB = ".github/workflows/proof.yml"
FOR_BENCHMARKS_AND_PROOF = {"tests/crowd.py", "tests/load.py"}
BY_TWO = {PROOF_OF_GITHUB, *FOR_BENCHMARKS_AND_PROOF}
GITHUB = ("dependabot", "workflows/ci", "workflows/update")
OPTIONAL = {
    ("ci", "github"): {f".github/{name}.yml" for name in GITHUB},
    ("ci", "gitlab"): {".gitlab-ci.yml", "renovate.json"},
    ("deployment", "docker"): {"Dockerfile", ".dockerignore", "compose.yaml"},
    ("deployment", "kubernetes"): {"Dockerfile", ".dockerignore"}
    | {f"k8s/{name}.yaml" for name in ("api", "config", "kustomization", "worker")}
    | {"k8s/secret.example.yaml"},
}
EVERYTHING = {"features": EVERY_FEATURE, "extras": EVERY_EXTRA}
CHOSEN_FILES = {
    r"(engine|tests)/documents/|engine/settings/documents\.py": "documents",
    r"engine/sql/migrations/documents_|engine/operate/cli/documents\.py": "documents",
    r"app/api/vector_store|docs/documents\.md": "documents",
    r"benchmarks/(documents|ingestion)\.py": "benchmarks documents",
    r"(engine|tests)/fine_tuning/|engine/settings/fine_tuning\.py": "fine_tuning",
    r"engine/sql/migrations/fine_tuning_|app/api/fine_tuning\.py": "fine_tuning",
    r"docs/fine-tuning\.md": "fine_tuning",
    r"doctor/|docs/doctor\.md|routes\.txt": "doctor",
    r"lab/": "lab",
    r"benchmarks/": "benchmarks",
    r"tests/proof/(?!doctor/|documents/|test_lab\.py)": "proof",
    r"tests/proof/doctor/": "proof doctor",
    r"tests/proof/documents/": "proof documents",
    r"tests/proof/test_lab\.py": "proof lab",
}
"""Files that come where all of these are chosen, with the other files of their folders."""

FILES, LINES, TEST_FILES = 346, 37_400, 60
"""What a default render may have at most: one person reads it in a week. The aim is 21,000.

Responses have 2,300 lines of the engine, agents 1,800, and their tests and guides 1,600; the joint
of the options has 100."""

APP_FILES, APP_LINES = 50, 3_500
"""What a team edits: one person reads it in an evening."""

USERS_OWN = ("app/features", "tests/features")
each_render = pytest.mark.parametrize("answers", ANSWER_SETS, ids=name_of)


@cache
def files(project: Path) -> dict[str, str]:
    """Return the text of every file by its path, as it was when first asked for."""
    return {
        path.relative_to(project).as_posix(): path.read_text()
        for path in project.rglob("*")
        if path.is_file()
    }


def test_there_are_enough_answer_sets() -> None:
    assert len(ANSWER_SETS) >= 12
    assert all(answers in ANSWER_SETS for answers in ({}, ALL_ON, ALL_OFF, *SINGLE, *pairwise()))


@pytest.mark.parametrize("answers", [{}, ALL_ON], ids=name_of)
def test_a_render_is_what_the_command_of_copier_gives(
    template: Path, render: Render, answers: dict[str, str], tmp_path: Path
) -> None:
    """The renders of these tests are made in less time: see `copying.py`."""
    data = [f"--data={name}={answer}" for name, answer in answers.items()]
    command = ["copier", "copy", "--quiet", "--defaults", *data, str(template), "project"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert files(tmp_path / "project") == files(render(answers))


@each_render
def test_every_file_parses(render: Render, answers: dict[str, str]) -> None:
    for path, text in files(render(answers)).items():
        parse(Path(path).suffix, text)


@cache
def parse(suffix: str, text: str) -> None:
    """Parse a text, once for all renders that have it."""
    PARSERS.get(suffix, str)(text)


@each_render
def test_nothing_of_the_template_is_left(render: Render, answers: dict[str, str]) -> None:
    for path, text in files(render(answers)).items():
        assert not path.endswith(".jinja")
        if not path.endswith(".py"):
            assert not LEFTOVER.search(text), path


@each_render
def test_a_text_file_ends_with_one_line_break(render: Render, answers: dict[str, str]) -> None:
    for path, text in files(render(answers)).items():
        assert not text or re.search(r"\S\n\Z", text), path
        if not path.endswith((".py", ".mako", "LICENSE")):
            assert "\n\n\n" not in PYTHON_BLOCK.sub("python", text), path


@each_render
def test_the_files_differ_only_by_what_the_answers_say(
    render: Render, answers: dict[str, str]
) -> None:
    given = {**DEFAULTS, **answers}
    wanted = set[str]().union(*(OPTIONAL.get(answer, set()) for answer in given.items()))
    optional = set[str]().union(*OPTIONAL.values())
    always = set(files(render(EVERYTHING))) - optional - BY_TWO
    chosen = chosen_of(answers)
    left = {path for path in always if not needed_by(path) <= chosen}
    assert set(files(render(answers))) - BY_TWO == (always | wanted) - left


@each_render
def test_a_file_of_two_answers_comes_where_it_has_a_use(
    render: Render, answers: dict[str, str]
) -> None:
    there, chosen = BY_TWO & set(files(render(answers))), chosen_of(answers)
    wanted = FOR_BENCHMARKS_AND_PROOF if chosen & {"proof", "benchmarks"} else set()
    assert there - {PROOF_OF_GITHUB} == wanted
    on_github = {**DEFAULTS, **answers}["ci"] == "github"
    assert (PROOF_OF_GITHUB in there) == ("proof" in chosen and on_github)


def needed_by(path: str) -> set[str]:
    """Return the features and extras without which the file does not come."""
    return {
        each
        for pattern, chosen in CHOSEN_FILES.items()
        if re.match(pattern, path)
        for each in chosen.split()
    }


def test_a_default_render_keeps_to_its_budget(render: Render) -> None:
    texts = files(render({}))
    assert len(texts) <= FILES
    assert sum(text.count("\n") for text in texts.values()) <= LINES
    assert sum(path.startswith("tests/") for path in texts) <= TEST_FILES
    app = [text for path, text in texts.items() if path.startswith("app/")]
    assert len(app) <= APP_FILES
    assert sum(text.count("\n") for text in app) <= APP_LINES
    foreign = re.compile(r"tests/(proof|twins|chaos)/|lab/|benchmarks/")
    assert [path for path in texts if foreign.match(path)] == []


@each_render
def test_no_code_differs_between_renders(render: Render, answers: dict[str, str]) -> None:
    whole = files(render(EVERYTHING))
    code = {path: text for path, text in files(render(answers)).items() if path.endswith(".py")}
    assert code.items() <= whole.items()


@each_render
def test_the_settings_carry_the_answers(render: Render, answers: dict[str, str]) -> None:
    project = render(answers)
    given = yaml.safe_load((project / ".copier-answers.yml").read_text())
    assert tomllib.loads((project / "settings.toml").read_text()) == {
        "service_name": given["project_name"],
        "service_description": given["description"],
        "service_slug": given["project_slug"],
        "model_provider": given["model_provider"],
    }


@each_render
def test_every_link_of_a_document_leads_somewhere(render: Render, answers: dict[str, str]) -> None:
    project = render(answers)
    for document in [project / "README.md", *project.glob("docs/*.md")]:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


@each_render
def test_ci_and_deployment_pass_their_linters(render: Render, answers: dict[str, str]) -> None:
    project = render(answers)
    schemas = {
        ".github/dependabot.yml": "vendor.dependabot",
        ".github/workflows/ci.yml": "vendor.github-workflows",
        ".github/workflows/proof.yml": "vendor.github-workflows",
        ".github/workflows/update.yml": "vendor.github-workflows",
        ".gitlab-ci.yml": "vendor.gitlab-ci",
        "renovate.json": "vendor.renovate",
        "compose.yaml": "vendor.compose-spec",
    }
    for path, schema in schemas.items():
        if (project / path).exists():
            lint_text(
                (project / path).read_text(), path, "check-jsonschema", "--builtin-schema", schema
            )
    if (project / "Dockerfile").exists():
        # Debian serves only the newest version of a package, and uv's version is bounded.
        ignored = "--ignore=DL3008", "--ignore=DL3013"
        lint_text((project / "Dockerfile").read_text(), "Dockerfile", "hadolint", *ignored)


def test_the_kubernetes_manifests_fit_their_schemas(render: Render) -> None:
    project = render({"deployment": "kubernetes"})
    kustomization = yaml.safe_load((project / "k8s/kustomization.yaml").read_text())
    named = {*kustomization["resources"], "secret.example.yaml", "kustomization.yaml"}
    assert {path.name for path in (project / "k8s").iterdir()} == named
    for name in named - {"kustomization.yaml"}:
        for version in ("1.30", "1.34"):
            lint(project / "k8s", "kubernetes-validate", "--strict", "-k", version, name)


def test_the_container_waits_longer_than_the_app_takes_to_stop(render: Render) -> None:
    project = render({})
    stated = dict(re.findall(r"^# (\w+)=([\d.]+)$", (project / ".env.example").read_text(), re.M))
    readiness = 5  # in production, where READINESS_GRACE is unset
    longest = readiness + float(stated["SHUTDOWN_GRACE"]) + float(stated["CLOSE_TIMEOUT"])
    compose = yaml.safe_load((project / "compose.yaml").read_text())
    for name in ("api", "worker"):
        assert int(compose["services"][name]["stop_grace_period"].rstrip("s")) > longest
    kubernetes = render({"deployment": "kubernetes"})
    config = yaml.safe_load((kubernetes / "k8s/config.yaml").read_text())["data"]
    assert config["READINESS_GRACE"] == str(readiness)
    assert float(config["SHUTDOWN_GRACE"]) == float(stated["SHUTDOWN_GRACE"])
    for name in ("api", "worker"):
        *_, deployment = yaml.safe_load_all((kubernetes / f"k8s/{name}.yaml").read_text())
        pod = deployment["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > longest
    for document in (project, kubernetes):
        assert "60 seconds" in (document / "docs/deploying.md").read_text()


def test_the_image_needs_only_what_it_copies(render: Render) -> None:
    project = render({})
    ignored = (project / ".dockerignore").read_text().splitlines()
    needed = {line[1:] for line in ignored if line.startswith("!")}
    assert needed == {"app", "engine", "migrations", "pyproject.toml", "settings.toml", "uv.lock"}
    assert all((project / name).exists() for name in needed - {"uv.lock"})
    assert "readme" not in tomllib.loads((project / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(("provider", "wanted"), [("local", True), ("openai", False)])
def test_only_a_local_model_is_put_into_the_image(
    render: Render, provider: str, *, wanted: bool
) -> None:
    dockerfile = (render({"model_provider": provider}) / "Dockerfile").read_text()
    assert dockerfile.count("uv sync --locked --no-default-groups") == 2
    assert dockerfile.count("--group local") == (2 if wanted else 0)


def test_no_python_file_of_the_template_carries_jinja() -> None:
    paths = git(REPOSITORY, "ls-files", "-co", "--exclude-standard", "template").splitlines()
    code = [REPOSITORY / path for path in paths if path.endswith(".py")]
    assert code
    assert not [path for path in code if path.exists() and re.search(r"\{[{%]", path.read_text())]
    assert not [path for path in paths if path.endswith(".py.jinja")]


def test_an_update_leaves_the_users_own_files_alone(render: Render) -> None:
    excluded = yaml.safe_load((REPOSITORY / "copier.yml").read_text())["_exclude"]
    for path in USERS_OWN:
        assert (render({}) / path).exists()
        assert f"{{% if _copier_operation == 'update' %}}/{path}{{% endif %}}" in excluded


def test_every_choice_is_rendered_at_least_once() -> None:
    for question, choices in CHOICES.items():
        assert {answers[question] for answers in ANSWER_SETS if question in answers} == set(choices)


@cache
def lint_text(text: str, path: str, *command: str) -> None:
    """Run a linter on a file of this text, once for all renders that have it."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_text(text)
        lint(Path(folder), *command, file.name)


def lint(folder: Path, *command: str) -> None:
    """Run a linter in the folder; fail with what it printed."""
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
