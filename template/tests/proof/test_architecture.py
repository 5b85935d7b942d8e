"""The import contracts hold, and each catches the violation that it is there for."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "pyproject.toml"
PACKAGES = ("app", "engine")
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
]
BROKEN_TWINS = {
    "The engine knows nothing of the app": ("engine/batches/mail.py", "import app"),
    "Imports point down in the app": ("app/dependencies/clock.py", "import app.middleware"),
    "Imports point down in the engine": ("engine/process/clock.py", "import engine.sql.statements"),
    "Work that outlives a request never sees request scope": (
        "engine/worker/mail.py",
        "import fastapi",
    ),
    "The only way to a model is bound to its caller": (
        "app/features/ask.py",
        "import engine.models.upstreams",
    ),
    "Only engine.process.offload starts threads or processes": (
        "app/api/slow.py",
        "import multiprocessing",
    ),
    "arq is known in two places": ("engine/worker/mail.py", "import arq"),
    "Endpoints do not call each other": ("app/api/mail.py", "import app.api.chat"),
}


def lint(folder: Path) -> str:
    """Return what the linter says of `app` and `engine` in the folder."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", str(CONFIG)],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A folder with a copy of both packages."""
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, tmp_path / package)
    return tmp_path


def test_every_contract_holds() -> None:
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken" in lint(PROJECT)


def test_every_contract_has_a_broken_twin() -> None:
    assert set(BROKEN_TWINS) == set(CONTRACTS)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_broken_twin_is_caught_by_its_contract_alone(contract: str, copied: Path) -> None:
    module, line = BROKEN_TWINS[contract]
    (copied / module).write_text(f"{line}\n")
    report = lint(copied)
    assert f"{contract} BROKEN" in report
    assert f"Contracts: {len(CONTRACTS) - 1} kept, 1 broken" in report


@pytest.mark.parametrize("folder", ["app/features", "app/api"])
def test_each_way_to_a_model_past_its_caller_is_named_with_its_line(
    folder: str, copied: Path
) -> None:
    ways = ["models.upstreams", "resources", "slots.semaphore"]
    (copied / folder / "ask.py").write_text("".join(f"import engine.{way}\n" for way in ways))
    report = lint(copied)
    for line, way in enumerate(ways, 1):
        assert f"{folder.replace('/', '.')}.ask -> engine.{way} (l.{line})" in report


@pytest.mark.parametrize("package", PACKAGES)
def test_a_module_without_a_place_in_the_layers_is_caught(package: str, copied: Path) -> None:
    (copied / package / "utils.py").touch()
    assert f"Imports point down in the {package} BROKEN" in lint(copied)
