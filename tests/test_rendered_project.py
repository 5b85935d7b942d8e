"""A rendered project passes its own checks and tests, on the oldest and a new Python."""

import fcntl
import itertools
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from demo.service import environment as clean_environment
from demo.service import run
from tests.answers import (
    ALL_OFF,
    ALL_ON,
    ANSWER_SETS,
    COMBINATIONS,
    EVERY_FEATURE,
    TELLING,
    name_of,
)
from tests.conftest import PYTHONS, REPOSITORY, Environment, Render, find_python

# The code is the same in every render: test_no_code_differs_between_renders. What the rest can feel
# of the answers is settings.toml, so each provider, with plain and with odd names, is enough.
DISTINCT = [{}, ALL_ON, ALL_OFF]
SETTINGS = ["python", "-m", "app.cli", "settings", "--env-example"]
DOCTOR = "python -m app.cli doctor --check-routes"
LINTERS = ["ruff check", "ruff format --check"]
CHECKS = [*LINTERS, DOCTOR]
SUITE = ["python", "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
TEMPLATE = REPOSITORY / "template"


@pytest.mark.parametrize(
    ("interpreter", "check", "answers"),
    [
        *itertools.product(["3.13"], LINTERS, DISTINCT),
        ("3.13", "lint-imports", {}),
        # It looks at nothing but code, which is the same in every render, as its Python reads it.
        *itertools.product(PYTHONS, [DOCTOR], [{}]),
    ],
    indirect=["interpreter"],
    ids=lambda value: value if isinstance(value, str) else name_of(value),
)
def test_a_render_passes_its_own_checks(
    checkout: Render,
    environment: Environment,
    interpreter: str,
    answers: dict[str, str],
    check: str,
) -> None:
    in_environment(checkout(answers), environment(interpreter), *check.split())


@pytest.mark.parametrize(
    "extras",
    [
        extras if extras in TELLING else pytest.param(extras, marks=pytest.mark.campaign)
        for extras in COMBINATIONS
    ],
)
def test_every_combination_of_extras_passes_its_checks(
    checkout: Render, environment: Environment, extras: str
) -> None:
    project = checkout({"extras": extras})
    variables = environment(find_python("3.13") or sys.executable)
    in_environment(project, variables, "ruff", "check")
    in_environment(project, variables, "mypy", ".")


@pytest.mark.parametrize("features", ["[documents]", "[fine_tuning]", EVERY_FEATURE])
def test_every_choice_of_features_passes_its_checks(
    checkout: Render, environment: Environment, features: str
) -> None:
    project = checkout({"features": features})
    variables = environment(find_python("3.13") or sys.executable)
    for check in ("ruff check", "lint-imports", "mypy .", DOCTOR):
        in_environment(project, variables, *check.split())
    settings = in_environment(project, variables, *SETTINGS)
    assert settings == (project / ".env.example").read_text()


def test_a_default_render_is_typed_also_for_the_lowest_python(
    checkout: Render, environment: Environment
) -> None:
    in_environment(checkout({}), environment(find_python("3.11") or sys.executable), "mypy", ".")


@pytest.mark.campaign
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("extras", COMBINATIONS)
def test_every_combination_of_extras_passes_its_own_tests(
    checkout: Render, environment: Environment, extras: str
) -> None:
    suite = [*SUITE, *(["--ignore", "tests/proof"] if "proof" in extras else [])]
    variables = environment(find_python("3.13") or sys.executable)
    output = in_environment(checkout({"extras": extras}), variables, *suite)
    assert re.search(r"^\d+ passed in", output, re.MULTILINE), output[-2000:]


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_nothing_is_lost_in_a_campaign_of_many_seeds(
    environment: Environment, database: str
) -> None:
    variables = environment(find_python("3.13") or sys.executable)
    options = ["--seeds", "10", "--items", "2000", "--database", database]
    in_environment(TEMPLATE, variables, "python", "-m", "tests.proof.chaos", *options)


@pytest.mark.parametrize("interpreter", ["3.12"], indirect=True)
def test_a_render_starts_on_the_python_between(
    checkout: Render, environment: Environment, interpreter: str
) -> None:
    # These import all of the app, and start it with a worker.
    tests = ["tests/test_imports.py", "tests/test_settings.py", "tests/features/test_triage.py"]
    command = ["python", "-m", "pytest", "-q", *tests]
    output = in_environment(checkout({}), environment(interpreter), *command)
    assert re.search(r"\d+ passed", output)


def test_one_lock_serves_every_render(
    checkout: Render, render: Render, environment: Environment, tmp_path: Path
) -> None:
    environment(clean_environment()["UV_PYTHON"])
    shutil.copyfile(checkout({}) / "uv.lock", tmp_path / "uv.lock")
    for answers in ANSWER_SETS[1:]:
        shutil.copyfile(render(answers) / "pyproject.toml", tmp_path / "pyproject.toml")
        run(["uv", "lock", "--check", "--quiet", "--offline"], tmp_path)


def test_the_example_of_the_environment_is_made_from_the_settings(
    checkout: Render, environment: Environment, interpreter: str
) -> None:
    project = checkout({})
    made = in_environment(project, environment(interpreter), *SETTINGS)
    assert made == (project / ".env.example").read_text()


@pytest.mark.parametrize(
    ("interpreter", "provider"),
    [
        ("3.11", "local"),
        ("3.13", "openai"),
        pytest.param("3.13", "simulated", marks=pytest.mark.campaign),  # it installs the same
    ],
    indirect=["interpreter"],
)
def test_what_the_image_installs_is_enough_to_start(
    checkout: Render, interpreter: str, tmp_path: Path, provider: str
) -> None:
    """The Dockerfile's own commands, without its engine: the copied files, the sync, `app`."""
    project = image(checkout({"model_provider": provider}), tmp_path)
    dockerfile = (checkout({"model_provider": provider}) / "Dockerfile").read_text()
    run(["uv", "lock", "--quiet"], project, UV_PYTHON=interpreter)
    for command in re.findall(r"^RUN (uv sync .*)$", dockerfile, re.MULTILINE):
        run(command.replace("--no-cache", "--quiet").split(), project, UV_PYTHON=interpreter)
    app = str(project / ".venv" / "bin" / "app")
    run([app, "migrate"], project)
    assert re.search(r"SERVICE_NAME +LLM API +settings.toml", run([app, "settings"], project))
    script = "import app.main, app.worker; app.main.create_app()"
    run([str(project / ".venv" / "bin" / "python"), "-W", "error", "-c", script], project)


def image(project: Path, folder: Path) -> Path:
    """Copy what .dockerignore lets through."""
    for line in (project / ".dockerignore").read_text().splitlines():
        source = project / line[1:]
        if line.startswith("!") and source.is_dir():
            shutil.copytree(source, folder / source.name)
        elif line.startswith("!") and source.name != "uv.lock":
            shutil.copy2(source, folder)
    return folder


def in_environment(
    project: Path, variables: dict[str, str], *command: str, path: str | None = None, **more: str
) -> str:
    """Run a command of the shared environment in the project; return its output."""
    scripts = Path(variables["UV_PROJECT_ENVIRONMENT"]) / "bin"
    path = f"{scripts}:{path or clean_environment()['PATH']}"
    program = str(scripts / command[0])
    more |= {"PATH": path, "PYTHONPATH": str(project)}
    cache = variables["MYPY_CACHE_DIR"]
    with one_at_a_time(Path(cache)) if command[0] == "mypy" else nullcontext():
        return run([program, *command[1:]], project, MYPY_CACHE_DIR=cache, **more)


@contextmanager
def one_at_a_time(cache: Path) -> Iterator[None]:
    """Two mypy that wrote into one cache ended with internal errors; a cold one costs 30 s."""
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
