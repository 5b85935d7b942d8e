"""`app doctor`: no findings on this project, and no route that changes unnoticed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from doctor import command as doctor
from tests.cli.command import run
from tests.service import PROJECT

BROKEN = "tests.proof.doctor.twins.broken.sleep_in_a_function:app"


@pytest.fixture
def routes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed table."""
    copy = tmp_path / "routes.txt"
    copy.write_text((PROJECT / "routes.txt").read_text())
    monkeypatch.setattr(doctor, "ROUTES", copy)
    return copy


def test_this_project_has_no_findings_and_its_routes_are_as_committed() -> None:
    result = run("doctor", "--check-routes")
    assert (result.stdout, result.stderr) == ("No findings.\n", "")
    assert result.exit_code == 0


def test_a_route_that_has_changed_is_told_until_it_is_accepted(routes: Path) -> None:
    kept = routes.read_text()
    routes.write_text(kept.replace("GET /live: loop", "GET /live: thread"))
    result = run("doctor", "--check-routes")
    assert result.exit_code == 1
    assert "-GET /live: thread" in result.output
    assert "+GET /live: loop" in result.output
    assert run("doctor", "--write-routes").exit_code == 0
    assert routes.read_text() == kept


def test_another_app_is_examined_from_where_the_command_is_typed() -> None:
    command = [sys.executable, "-m", "app.cli", "doctor", BROKEN, "--json"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, check=False)
    (finding,) = json.loads(result.stdout)["findings"]
    assert result.returncode == 1
    assert finding["path"] == "tests/proof/doctor/twins/broken/sleep_in_a_function.py"
    assert finding["chain"] == ["endpoint", "prepare", "wait_for_turn"]
    assert finding["why"]
    assert finding["instead"]


def test_a_name_that_leads_to_no_app_is_an_error_of_usage() -> None:
    result = run("doctor", "json:loads")
    assert result.exit_code == 2
    assert "no FastAPI app" in result.output


def test_only_this_project_has_a_committed_table() -> None:
    assert run("doctor", BROKEN, "--write-routes").exit_code == 2
