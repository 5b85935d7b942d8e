"""The import contracts hold, and each catches the violation that it is there for."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
CONFIG = PROJECT / "pyproject.toml"
CONTRACTS = [
    contract["name"]
    for contract in tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
]
BROKEN_TWINS = {
    "Imports point down": ("resources/clock.py", "import engine.sql.ids"),
    "Work that outlives a request never sees request scope": (
        "background/mail.py",
        "import fastapi",
    ),
    "The domain knows neither HTTP nor the queue": ("domain/links.py", "import starlette"),
    "Only resources.offload starts threads or processes": ("api/slow.py", "import multiprocessing"),
    "arq is known in two places": ("jobs/mail.py", "import arq"),
    "Features of one zone do not call each other": ("api/mail.py", "import app.api.chat"),
}


def lint(folder: Path) -> str:
    """Return what the linter says of `app` in the folder."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", str(CONFIG)],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_every_contract_holds() -> None:
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken" in lint(PROJECT)


def test_every_contract_has_a_broken_twin() -> None:
    assert set(BROKEN_TWINS) == set(CONTRACTS)


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_broken_twin_is_caught_by_its_contract_alone(contract: str, tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "app", tmp_path / "app")
    module, line = BROKEN_TWINS[contract]
    (tmp_path / "app" / module).write_text(f"{line}\n")
    report = lint(tmp_path)
    assert f"{contract} BROKEN" in report
    assert f"Contracts: {len(CONTRACTS) - 1} kept, 1 broken" in report


def test_a_module_without_a_place_in_the_layers_is_caught(tmp_path: Path) -> None:
    shutil.copytree(PROJECT / "app", tmp_path / "app")
    (tmp_path / "app" / "utils.py").touch()
    assert "Imports point down BROKEN" in lint(tmp_path)
